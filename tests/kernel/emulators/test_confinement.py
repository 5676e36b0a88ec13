"""A confined process can execute, read and write only what is its own (B-15)."""

import ctypes
import os
import shutil
import threading
from pathlib import Path

import pytest

from children import output_of
from labplane.emulators import confinement
from labplane.emulators.confinement import Needs, ruleset, version
from labplane.emulators.programs import closure
from labplane.emulators.terminals import Terminals

SH = Path("/bin/sh").resolve()


def printed(tmp_path: Path, script: str, needs: Needs | None) -> str:
    """What a shell prints that was started in that directory; needs: None for one that is not confined."""
    return output_of([str(SH), "-c", script], tmp_path, needs=needs).decode()


def test_this_machine_has_landlock() -> None:
    """Or the tests below would prove nothing."""
    assert version() > 0
    assert Terminals().can_confine


through_the_loader = pytest.param(
    f"{closure(SH)[1]} /bin/cat",
    marks=pytest.mark.xfail(reason="Landlock must let the loader be executed, and the loader runs what it is told"),
)


@pytest.mark.parametrize("program", ["/bin/cat", "/usr/bin/env true", "./copy -c :", through_the_loader])
def test_a_confined_process_cannot_execute_another_program(program: str, tmp_path: Path) -> None:
    shutil.copy(SH, tmp_path / "copy")
    script = f"echo begun; {program} </dev/null && echo executed; echo over"
    assert "executed" in printed(tmp_path, script, None)
    confined = printed(tmp_path, script, Needs())
    assert "executed" not in confined
    assert "denied" in confined
    assert "over" in confined, "it goes on all the same"


def test_it_can_execute_what_its_driver_says_that_it_needs(tmp_path: Path) -> None:
    script = "/usr/bin/env true && echo executed; /bin/cat </dev/null && echo more"
    needs = Needs(executes=(Path("/usr/bin/env").resolve(), Path("/usr/bin/true").resolve()))
    said = printed(tmp_path, script, needs)
    assert "executed" in said
    assert "more" not in said


def test_it_reads_and_writes_in_its_own_directory_as_before(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    script = "echo kept > below/file; read line < below/file; echo $line; echo > /dev/null && echo again > below/file"
    assert printed(tmp_path, script, Needs()) == "kept\r\n"
    assert (tmp_path / "below" / "file").read_text() == "again\n"


@pytest.mark.parametrize("how", ["echo x > {}", "echo x >> {}", ": > {}"])
@pytest.mark.parametrize("existed", [True, False])
def test_it_writes_nowhere_else(how: str, existed: bool, tmp_path: Path) -> None:
    own, other = tmp_path / "own", tmp_path / "other"
    own.mkdir()
    other.mkdir()
    victim = other / "victim"
    if existed:
        victim.write_text("before")
    (own / "link").symlink_to(victim)
    for path in (victim, "../other/victim", own / "link"):
        assert "denied" in printed(own, how.format(path), Needs()).lower()
        assert (victim.read_text() if victim.exists() else None) == ("before" if existed else None)
    assert "denied" not in printed(own, how.format(victim), Needs(writes=(other,))).lower()


def test_it_reads_nothing_else_but_what_the_system_needs(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    secret = tmp_path / "secret"
    secret.write_text("a secret\n")
    (own / "link").symlink_to(secret)
    for path in (secret, "../secret", own / "link"):
        script = f"read line < {path}; echo got $line"
        assert "a secret" in printed(own, script, None)
        assert "a secret" not in printed(own, script, Needs())
        assert "a secret" in printed(own, script, Needs(reads=(secret,)))
    assert "got root" in printed(own, "read line < /etc/passwd; echo got $line", Needs())
    assert "a secret" not in printed(own, f"read line < /proc/{threading.get_native_id()}/environ; echo $line", Needs())


def test_it_gains_no_privileges(tmp_path: Path) -> None:
    needs = Needs(executes=(Path("/bin/grep").resolve(),))
    assert "NoNewPrivs:\t1" in printed(tmp_path, "/bin/grep NoNewPrivs /proc/self/status", needs)


def test_the_server_itself_is_not_confined_by_the_confinement_of_a_process(tmp_path: Path) -> None:
    printed(tmp_path, "true", Needs())
    assert "hello" in printed(tmp_path, "/bin/echo hello", None)


def test_an_old_kernel_has_no_landlock(monkeypatch: pytest.MonkeyPatch) -> None:
    class Old:
        def syscall(self, *_: object) -> int:
            ctypes.set_errno(38)
            return -1

    monkeypatch.setattr(confinement, "_libc", Old())
    assert version.__wrapped__() == 0
    with pytest.raises(OSError, match="Function not implemented"):
        ruleset(Needs())


@pytest.mark.parametrize("old", [1, 2])
def test_the_first_versions_of_landlock_are_of_use_too(
    old: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They know fewer rights; asking for one that they do not know would be an error."""
    monkeypatch.setattr(confinement, "version", lambda: old)
    (tmp_path / "own").mkdir()
    script = "/bin/cat </dev/null && echo executed; echo x > ../other && echo written; echo over"
    said = printed(tmp_path / "own", script, Needs())
    assert "over" in said
    assert "executed" not in said
    assert "written" not in said


def test_what_does_not_exist_is_passed_over() -> None:
    os.close(ruleset(Needs(reads=(Path("/no/such/file"),), writes=(Path("/etc/hosts/file"),))))
