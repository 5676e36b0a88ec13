"""A confined process has no TCP and no capabilities but those that it needs, and reaches no other process (B-15)."""

import os
import pwd
import resource
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from children import child, output_of
from labplane.emulators import capabilities, confinement
from labplane.emulators.confinement import Needs, version
from labplane.emulators.users import User

INTERPRETER = tuple({Path(sys.prefix), Path(sys.base_prefix)})
ABI = version()

tcp = pytest.mark.skipif(ABI < confinement.TCP_SINCE, reason=f"this kernel's Landlock, version {ABI}, knows no TCP")
scopes = pytest.mark.skipif(ABI < confinement.SCOPES_SINCE, reason=f"Landlock {ABI} of this kernel has no scopes")
root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has capabilities to drop")


def said(directory: Path, script: str, *arguments: object, needs: Needs | None, **more: Any) -> str:
    """What a Python prints that runs `script` with those arguments."""
    if needs is not None:
        needs = Needs(**{**vars(needs), "reads": (*INTERPRETER, *needs.reads)})
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return output_of(command, directory, needs=needs, **more).decode().strip()


ATTEMPT = """
import socket, sys
try:
    {}
except PermissionError:
    print("refused")
else:
    print("done")
"""
CONNECT = ATTEMPT.format("socket.create_connection((sys.argv[1], int(sys.argv[2])), 10)")
LISTEN = ATTEMPT.format("socket.create_server((sys.argv[1], int(sys.argv[2])))")


@pytest.fixture(params=[socket.AF_INET, socket.AF_INET6], ids=["IPv4", "IPv6"])
def service(request: pytest.FixtureRequest) -> Iterator[tuple[str, int]]:
    """The address of somebody else who listens."""
    host = "127.0.0.1" if request.param == socket.AF_INET else "::1"
    try:
        listening = socket.create_server((host, 0), family=request.param)
    except OSError:
        pytest.skip(f"this machine has no {host}")
    with listening:
        yield listening.getsockname()[:2]


@tcp
def test_it_connects_to_no_port_but_those_that_it_needs(tmp_path: Path, service: tuple[str, int]) -> None:
    _, port = service
    assert said(tmp_path, CONNECT, *service, needs=None) == "done"
    assert said(tmp_path, CONNECT, *service, needs=Needs()) == "refused"
    assert said(tmp_path, CONNECT, *service, needs=Needs(connects=(port - 1, port + 1))) == "refused"
    assert said(tmp_path, CONNECT, *service, needs=Needs(listens=(port,))) == "refused"
    assert said(tmp_path, CONNECT, *service, needs=Needs(connects=(port,))) == "done"
    assert said(tmp_path, CONNECT, *service, needs=Needs(connects=range(1 << 16))) == "done"
    assert said(tmp_path, LISTEN, "127.0.0.1", 0, needs=Needs(connects=range(1 << 16))) == "refused"


@tcp
def test_it_listens_on_no_port_but_those_that_it_needs(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    for script, host, number in ((LISTEN, "127.0.0.1", port), (LISTEN, "127.0.0.1", 0)):
        assert said(tmp_path, script, host, number, needs=None) == "done"
        assert said(tmp_path, script, host, number, needs=Needs()) == "refused"
        assert said(tmp_path, script, host, number, needs=Needs(connects=(port,))) == "refused"
        assert said(tmp_path, script, host, number, needs=Needs(listens=(number, number))) == "done"


@tcp
def test_its_udp_is_free(tmp_path: Path) -> None:
    """Landlock has no rule for it; links are made of it."""
    script = ATTEMPT.format('socket.socket(type=socket.SOCK_DGRAM).bind(("127.0.0.1", 0))')
    assert said(tmp_path, script, needs=Needs()) == "done"


@scopes
def test_it_signals_nobody_outside_and_reaches_no_abstract_socket_of_others(tmp_path: Path) -> None:
    name = f"labplane-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"\0{name}")
        listening.listen()
        for script in (
            ATTEMPT.format('socket.socket(socket.AF_UNIX).connect("\\0" + sys.argv[1])'),
            "import os\n" + ATTEMPT.format("os.kill(int(sys.argv[2]), 0)"),
        ):
            assert said(tmp_path, script, name, os.getpid(), needs=None) == "done"
            assert said(tmp_path, script, name, os.getpid(), needs=Needs()) == "refused"
    own = "import os\n" + ATTEMPT.format("os.kill(os.getpid(), 0)")
    assert said(tmp_path, own, needs=Needs()) == "done"


@tcp
@pytest.mark.parametrize("old", [3, 4, 5])
def test_older_versions_of_landlock_confine_as_much_as_they_can(
    old: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asking for more would be an error, and the program would not be started."""
    monkeypatch.setattr(confinement, "version", lambda: old)
    needs = Needs(listens=(1,), connects=(1,))
    expected = "refused" if old >= confinement.TCP_SINCE else "done"
    assert said(tmp_path, LISTEN, "127.0.0.1", 0, needs=needs) == expected
    signals = "import os\n" + ATTEMPT.format("os.kill(int(sys.argv[1]), 0)")
    assert said(tmp_path, signals, os.getpid(), needs=needs) == "done"


NOBODY = User(pwd.getpwnam("nobody").pw_uid, pwd.getpwnam("nobody").pw_gid)
NONE = f"{0:016x}"
NET_ADMIN = f"{1 << 12:016x}"


def sets(text: str) -> dict[str, str]:
    """The capability sets in a /proc/…/status."""
    found = dict(line.split(":\t") for line in text.splitlines() if line.startswith(("Cap", "NoNew")))
    assert len(found) >= 5
    return found


@root
@pytest.mark.parametrize("user", [None, NOBODY], ids=["root", "nobody"])
def test_it_has_the_capabilities_that_it_needs_and_no_others(user: User | None) -> None:
    own = [path.read_text() for path in Path("/proc/self/task").glob("*/status")]
    where = Path("/")
    for needs, left in ((Needs(), NONE), (Needs(capabilities=("CAP_NET_ADMIN",)), NET_ADMIN)):
        found = sets(output_of_a_shell(where, needs, user))
        assert {found[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {left}
        assert found["NoNewPrivs"] == "1"
    assert sets(output_of_a_shell(where, None, None))["CapEff"] == sets(own[0])["CapEff"], "the server has what it had"
    assert {sets(text)["CapBnd"] for text in own} == {
        sets(path.read_text())["CapBnd"] for path in Path("/proc/self/task").glob("*/status")
    }


def output_of_a_shell(where: Path, needs: Needs | None, user: User | None) -> str:
    script = 'while read -r line; do echo "$line"; done < /proc/self/status'
    return output_of(["/bin/sh", "-c", script], where, needs=needs, user=user).decode().replace("\r\n", "\n")


@root
def test_capabilities_are_dropped_where_the_kernel_has_no_landlock_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confinement, "version", lambda: 0)
    found = sets(output_of_a_shell(Path("/"), Needs(), None))
    assert {found[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {NONE}
    assert found["NoNewPrivs"] == "1"


@root
def test_root_without_capabilities_works_in_a_directory_below_one_that_only_another_user_may_enter(
    tmp_path: Path,
) -> None:
    home = tmp_path / "home"
    own = home / "project"
    own.mkdir(parents=True)
    os.chown(home, NOBODY.uid, NOBODY.gid)
    home.chmod(0o700)
    assert "here" in said(own, "open('file', 'w').write('here'); print(open('file').read())", needs=Needs())


def test_a_capability_that_there_is_not_is_refused_before_anything_is_started(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'CAP_FLY' is no capability; their names are those of man 7 capabilities"):
        said(tmp_path, "", needs=Needs(capabilities=("CAP_FLY",)))


def test_the_numbers_of_capabilities_are_those_of_the_kernel() -> None:
    assert capabilities.numbers(["CAP_CHOWN", "CAP_NET_ADMIN", "CAP_CHECKPOINT_RESTORE"]) == {0, 12, 40}
    assert capabilities.numbers(["CAP_NET_RAW", "CAP_SYS_ADMIN", "CAP_SETFCAP", "CAP_BPF"]) == {13, 21, 31, 39}


GREEDY = """
import os
input()
try:
    bytes(512 * 1024 * 1024)
except MemoryError:
    print("no memory")
file = os.open("file", os.O_CREAT | os.O_WRONLY)
os.write(file, b"x" * 1000)
try:
    os.write(file, b"x")
except OSError as error:
    print(error.strerror)
"""


def test_its_memory_and_its_files_are_limited(tmp_path: Path, run: Callable[[Any], Any]) -> None:
    """From before it is told to begin: the limits are there when `spawn` returns."""
    limits = {resource.RLIMIT_AS: 512 * 1024 * 1024, resource.RLIMIT_FSIZE: 1000}

    async def main() -> None:
        async with child(tmp_path, sys.executable, "-c", GREEDY, limits=limits) as one:
            one.process.write(b"\r\n")
            assert await one.wait() == 0
            assert b"no memory" in one.output
            assert b"File too large" in one.output

    run(main())
    assert (tmp_path / "file").stat().st_size == 1000


@pytest.mark.parametrize("sigpipe", [True, False])
def test_a_connection_that_is_gone_ends_it_or_makes_writing_fail(sigpipe: bool, tmp_path: Path) -> None:
    shell = "while read -r line; do case $line in SigIgn*) echo $line;; esac; done < /proc/self/status"
    output = output_of(["/bin/sh", "-c", shell], tmp_path, sigpipe=sigpipe)
    ignored = int(output.split()[1], 16)
    assert bool(ignored & 1 << (signal.SIGPIPE - 1)) is not sigpipe
