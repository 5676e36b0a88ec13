"""`DriverTests`: what the kernel, the API and the next user expect of a driver, as tests that its author inherits."""

import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar

import pytest

from labplane.testing import host
from labplane.testing.ends import EndTests
from labplane.testing.frames import Wire, WireTests
from labplane.testing.garbage import GarbageTests
from labplane.testing.life import LifeTests
from labplane.testing.links import ConsoleTests, LinkTests
from labplane.testing.machines import Machines, Port
from labplane.testing.published import Published
from labplane.testing.server import Server, free_range, running
from labplane.testing.settings import SettingsTests

CONSOLES, UDP_PORTS = 8, 64
PATIENCE = 3  # in seconds: nearly every test ends a VM, and one that boots ends slowly
LONGEST_PATIENCE = 60
REASON = "The conformance kit has hidden the emulator."


class DriverTests(GarbageTests, EndTests, ConsoleTests, WireTests, LinkTests, LifeTests, SettingsTests):
    """The tests of one kind of VM, against a real server. Subclass it, in a test file, with its `kind`.

    kind:     which driver is tested.
    settings: own settings that make a VM that can run; needed only where defaults are not enough.
    options:  further ones for ``labplane serve``; paths in them are absolute.
    answers:  an IPv4 address for each port, (adapter, port), at which a VM with these settings answers ARP for it.
    boots_within: seconds after a start within which it does.

    What a driver can do is read from the API document. What it cannot do is skipped, with the reason.
    """

    __test__ = False
    kind: ClassVar[str]
    settings: ClassVar[Mapping[str, Any]] = {}
    options: ClassVar[Sequence[str]] = ()
    answers: ClassVar[Mapping[Port, str]] = {}
    boots_within: ClassVar[float] = 10.0

    def __init_subclass__(cls) -> None:
        cls.__test__ = hasattr(cls, "kind")

    @pytest.fixture(scope="class")
    @classmethod
    def places(cls, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
        """The directories of the server under test: projects, current directory, temporary files."""
        home = tmp_path_factory.mktemp(cls.kind)
        places = [home / name for name in ("projects", "current", "temporary")]
        for place in places:
            place.mkdir()
        return places

    @pytest.fixture(scope="class")
    @classmethod
    def server(cls, places: list[Path]) -> Iterator[Server]:
        """A server with few ports, so that a port that is not given back is missed."""
        with cls._serving(places) as server:
            yield server

    @pytest.fixture(scope="class")
    @classmethod
    def published(cls, server: Server) -> Published:
        """The driver as the API document of that server describes it."""
        return Published.by(server, cls.kind)

    @pytest.fixture
    def machines(self, server: Server, published: Published) -> Iterator[Machines]:
        """A project of that server for VMs of this kind; it is closed at the end."""
        yield from self._machines(server, published)

    @pytest.fixture
    def wire(self, machines: Machines) -> Iterator[Wire]:
        """A VM with a far end at each of its ports; skips when nobody says who answers there."""
        with self._wired(machines, self.answers, self.boots_within) as wire:
            yield wire

    @pytest.fixture
    def short_lived(self, places: list[Path], published: Published) -> Iterator[Machines]:
        """A project of a server that may be ended."""
        with self._serving(places, LABPLANE_MAX_PATIENCE=str(LONGEST_PATIENCE)) as server:
            yield Machines(server, published, self.settings)

    @pytest.fixture
    def bare(self, places: list[Path], published: Published, tmp_path: Path) -> Iterator[Machines]:
        """A project of a server whose PATH has no program."""
        with self._serving(places, PATH=str(tmp_path)) as server:
            yield from self._machines(server, published)

    @pytest.fixture
    def reason(self) -> str:
        """The reason that the server of `unavailable` gives for the missing emulator."""
        return REASON

    @pytest.fixture
    def unavailable(self, places: list[Path], published: Published, tmp_path: Path) -> Iterator[Machines]:
        """A project of a server on which the driver's check() fails."""
        shutil.copy(Path(__file__).with_name("unavailable.py"), tmp_path / "labplane_unavailable.py")
        offer(tmp_path, "labplane_unavailable", "NoEmulator")
        path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
        with self._serving(places, PYTHONPATH=path, CONFORMANCE_KIND=self.kind, CONFORMANCE_REASON=REASON) as server:
            yield from self._machines(server, published)

    @classmethod
    @contextmanager
    def _serving(cls, places: list[Path], **environment: str) -> Iterator[Server]:
        """A server; none of its processes is left when the context ends, whatever the driver does."""
        folder, current, temporary = places
        projects = Path(tempfile.mkdtemp(prefix="server-", dir=folder))  # one server works in a projects directory
        consoles, udp = free_range(CONSOLES), free_range(UDP_PORTS, socket.SOCK_DGRAM)
        left: dict[int, str] = {}
        try:
            with running(
                projects,
                *cls.options,
                consoles=consoles,
                udp=udp,
                environment={"TMPDIR": str(temporary), "LABPLANE_MAX_PATIENCE": str(PATIENCE), **environment},
                cwd=current,
            ) as server:
                try:
                    yield server
                finally:
                    left = server.processes()
        finally:
            for one in host.processes():
                if left.get(one.pid) == one.name and one.runs:
                    with suppress(ProcessLookupError):
                        os.kill(one.pid, signal.SIGKILL)

    def _machines(self, server: Server, published: Published) -> Iterator[Machines]:
        machines = Machines(server, published, self.settings)
        yield machines
        machines.close()


def offer(site: Path, module: str, plugin: str) -> None:
    """Let the module in the directory `site` bring a plugin to a server that has it on its PYTHONPATH."""
    about = site / f"{module}-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1\n")
    (about / "entry_points.txt").write_text(f"[labplane.v1]\n{module} = {module}:{plugin}\n")
