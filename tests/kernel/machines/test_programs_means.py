"""What a program has besides its terminal: descriptors, helpers, directories of programs; and why it was refused."""

import os
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import pytest

from inprocess import Served, offering, serving
from labplane import VM, Needs, ProcessDriver, find_program
from labplane.testing import Viewer
from support import until

ECHO = """
import os, socket
end = socket.socket(fileno=3)
end.sendall(b"own end\\n")
print(os.read(4, 100).decode(), flush=True)
while (data := end.recv(100)): end.sendall(data.upper())
"""


class Monitored(ProcessDriver):
    """Has a monitor, and the reading end of a pipe."""

    kind = "monitored"

    async def files(self, vm: VM) -> Sequence[Any]:
        vm.data["monitor"], theirs = socket.socketpair()
        reading, writing = os.pipe()
        os.write(writing, b"from the pipe")
        os.close(writing)
        return theirs, open(reading, "rb")

    def command(self, vm: VM) -> Sequence[str]:
        return [sys.executable, "-I", "-S", "-c", ECHO]


class Missing(Monitored):
    """Cannot be executed."""

    kind = "missing"

    def command(self, vm: VM) -> Sequence[str]:
        return ["/nothing/of/this/name"]


class Serial(ProcessDriver):
    """Prints as a guest does."""

    kind = "serial"
    raw = True

    def command(self, vm: VM) -> Sequence[str]:
        return ["/bin/sh", "-c", r"printf 'one\r\ntwo\nthree'; read line"]


class Suite(ProcessDriver):
    """A program that executes others, all of which are in one directory."""

    kind = "suite"
    bin: ClassVar[Path]

    def needs(self, vm: VM) -> Needs:
        return Needs(executes=(self.bin,))

    def command(self, vm: VM) -> Sequence[str]:
        return ["/bin/sh", "-c", f"{self.bin}/hello; {self.bin}/sub/hello; /bin/ls; read line"]


class Refused(ProcessDriver):
    """Names a file that the test chooses."""

    kind = "refused"
    program: ClassVar[Path]

    def command(self, vm: VM) -> Sequence[str]:
        return [str(self.program)]


class Worker(ProcessDriver):
    """Does at its start what the test says."""

    kind = "worker"
    works: ClassVar[Callable[[ProcessDriver, VM], Any] | None] = None

    async def prepare(self, vm: VM) -> None:
        if (works := type(self).works) is not None:
            vm.data["said"] = await works(self, vm)

    def command(self, vm: VM) -> Sequence[str]:
        return ["/bin/cat"]


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path, [offering(Monitored, Missing, Serial, Suite, Refused, Worker)]) as served:
        yield served


def vm_of(served: Served, path: str) -> VM:
    vm = served.lab.vms.get(path.rsplit("/", 1)[1])
    assert vm is not None
    return vm


def viewer(served: Served, path: str) -> Viewer:
    return Viewer(served.http.get(path).json()["console"])


def message(reply: Any) -> str:
    assert reply.status_code == 409, reply.text
    return str(reply.json()["message"])


def test_a_program_finds_the_files_that_its_driver_opened(served: Served) -> None:
    path = served.vm(served.project(), "monitored")
    assert served.http.post(f"{path}/start").status_code == 204
    with viewer(served, path) as console, vm_of(served, path).data["monitor"] as monitor:
        monitor.settimeout(20)
        assert monitor.recv(100) == b"own end\n"
        console.until(b"from the pipe")
        monitor.sendall(b"question")
        assert monitor.recv(100) == b"QUESTION"
        served.http.post(f"{path}/stop")
        assert monitor.recv(100) == b"", "nobody else has the other end"


def test_of_a_program_that_cannot_be_executed_no_file_stays_open(served: Served) -> None:
    path = served.vm(served.project(), "missing")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        assert "/nothing/of/this/name cannot be executed" in message(served.http.post(f"{path}/start"))
        vm_of(served, path).data["monitor"].close()
    assert len(os.listdir("/proc/self/fd")) <= before + 1  # the first start may have begun a log


def test_a_raw_terminal_changes_nothing(served: Served) -> None:
    path = served.vm(served.project(), "serial")
    assert served.http.post(f"{path}/start").status_code == 204
    with viewer(served, path) as console:
        assert console.until(b"three").endswith(b"one\r\ntwo\nthree")


def test_needs_may_name_a_directory_of_programs(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not served.lab.terminals.can_confine:
        pytest.skip("this kernel has no Landlock")
    monkeypatch.setattr(Suite, "bin", tmp_path / "programs", raising=False)
    for folder in (Suite.bin, Suite.bin / "sub"):
        folder.mkdir()
        hello = folder / "hello"
        hello.write_bytes(find_program("echo", "").read_bytes())
        hello.chmod(0o755)
    path = served.vm(served.project(), "suite")
    assert served.http.post(f"{path}/start").status_code == 204
    with viewer(served, path) as console:
        seen = console.until(b"/bin/ls: Permission denied")
    assert seen.count(b"\r\n\r\n") or seen.startswith(b"\r\n"), "both programs ran, and printed an empty line"
    assert b"hello: " not in seen


def test_a_refusal_names_the_file_at_which_the_start_failed(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "script"
    monkeypatch.setattr(Refused, "program", script, raising=False)
    path = served.vm(served.project(), "refused")
    script.write_text("#!/nothing/of/this/name\n")
    script.chmod(0o755)
    assert f"{script} cannot be executed" in message(served.http.post(f"{path}/start"))
    script.chmod(0o644)
    assert f"at {script}." in message(served.http.post(f"{path}/start"))
    script.unlink()
    assert f"at {script}." in message(served.http.post(f"{path}/start"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run emulators as another user")
def test_a_user_who_cannot_enter_the_directory_of_a_program_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with TemporaryDirectory() as name:
        place = Path(name)  # of mode 0700
        monkeypatch.setattr(Refused, "program", place / "cat", raising=False)
        (place / "cat").write_bytes(find_program("cat", "").read_bytes())
        (place / "cat").chmod(0o755)
        with TemporaryDirectory() as other:
            Path(other).chmod(0o755)
            with serving(Path(other), [offering(Refused)], user="nobody", sandbox="off") as served:
                path = served.vm(served.project(), "refused")
                assert message(served.http.post(f"{path}/start")).endswith(f"Permission denied at {place}.")


def work(monkeypatch: pytest.MonkeyPatch, *command: str, seconds: float = 20.0, needs: Needs | None = None) -> None:
    async def works(driver: ProcessDriver, vm: VM) -> str:
        return await driver.tool(vm, command, seconds=seconds, needs=needs)

    monkeypatch.setattr(Worker, "works", works)


def test_a_helper_is_answered_with_what_it_printed(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    work(monkeypatch, "/bin/sh", "-c", r"printf 'a\nb\n'; pwd; echo made > file; echo error >&2")
    path = served.vm(served.project(), "worker")
    assert served.http.post(f"{path}/start").status_code == 204
    vm = vm_of(served, path)
    assert vm.data["said"] == f"a\nb\n{vm.dir}\nerror\n"
    assert (vm.dir / "file").read_text() == "made\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run emulators as another user")
def test_a_helper_of_another_user_writes_in_the_directory_of_its_vm_before_the_first_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    work(monkeypatch, "/bin/sh", "-c", "echo made > file")
    with TemporaryDirectory() as other:
        Path(other).chmod(0o755)
        with serving(Path(other), [offering(Worker)], user="nobody") as served:
            path = served.vm(served.project(), "worker")
            assert served.http.post(f"{path}/start").status_code == 204
            assert (vm_of(served, path).dir / "file").owner() == "nobody"


def test_a_helper_that_fails_is_a_refusal_with_its_last_line(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    path = served.vm(served.project(), "worker")
    work(monkeypatch, "/bin/sh", "-c", "echo first; echo the reason; exit 3")
    assert message(served.http.post(f"{path}/start")) == "sh failed with status 3: the reason"
    work(monkeypatch, "/nothing/of/this/name")
    assert "cannot be executed" in message(served.http.post(f"{path}/start"))


def test_a_helper_is_confined(served: Served, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if not served.lab.terminals.can_confine:
        pytest.skip("this kernel has no Landlock")
    (tmp_path / "secret").write_text("secret")
    path = served.vm(served.project(), "worker")
    work(monkeypatch, "/bin/sh", "-c", f"read line < {tmp_path}/secret")
    assert "ermission denied" in message(served.http.post(f"{path}/start"))
    work(monkeypatch, "/bin/sh", "-c", f"read line < {tmp_path}/secret; :", needs=Needs(reads=(tmp_path / "secret",)))
    assert served.http.post(f"{path}/start").status_code == 204


def test_a_helper_that_takes_too_long_is_ended(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    work(monkeypatch, "/bin/sh", "-c", "echo $$ > pid; while :; do read line; done", seconds=0.5)
    path = served.vm(served.project(), "worker")
    assert message(served.http.post(f"{path}/start")) == "sh did not end within 0.5 seconds; it was ended."
    pid = int((vm_of(served, path).dir / "pid").read_text())
    until(lambda: not Path(f"/proc/{pid}").exists(), "its end")


def test_a_helper_ends_with_the_request_that_asked_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work(monkeypatch, "/bin/sh", "-c", "echo $$ > pid; while :; do read line; done")
    with serving(tmp_path, [offering(Worker)], driver_seconds=1) as served:
        path = served.vm(served.project(), "worker")
        assert served.http.post(f"{path}/start").status_code == 500
        pid = int((vm_of(served, path).dir / "pid").read_text())
        until(lambda: not Path(f"/proc/{pid}").exists(), "its end")
