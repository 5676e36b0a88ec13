"""Section 10 of docs/api.md: what a user of a console sees, and that no command of the host runs from there."""

import itertools
import tempfile
import uuid
from pathlib import Path

from expect import nothing
from host import runs
from machines import directory, linked, show, start
from support import Server, Viewer, until


def test_every_console_viewer_sees_the_banner_and_the_same_session(server: Server, vm: str) -> None:
    """Q-8: as the sample shows it to the first; nobody has to wait for another to leave."""
    start(server, vm)
    console = show(server, vm)["console"]
    with Viewer(console) as one, Viewer(console) as two:
        assert b"Welcome to Virtual PC Simulator, version" in one.until(b"VPCS> ")
        two.until(b"VPCS> ")
        one.type("show ip")
        one.until(b"GATEWAY")
        two.until(b"GATEWAY")


def test_disconnect_closes_the_viewer_and_leaves_the_vm(server: Server, vm: str) -> None:
    """Q-9, Q-14: with a farewell, and without a word of daemons."""
    pid = start(server, vm)
    console = show(server, vm)["console"]
    with Viewer(console) as leaving, Viewer(console) as staying:
        leaving.until(b"VPCS> ")
        staying.until(b"VPCS> ")
        leaving.type("disconnect")
        last = leaving.until_closed()
        assert b"Good-bye" in last
        assert b"daemon" not in last
        staying.type("show ip")
        staying.until(b"GATEWAY")
    assert runs(pid)
    assert show(server, vm)["status"] == "started"


def test_the_startup_script_runs(server: Server, project: str) -> None:
    """M-7, Q-11: CRLF and comments included."""
    script = "# for %h\r\nset pcname QQ7\r\necho of %h\r\n"
    vm = linked(server, project, startup_script=script)
    start(server, vm)
    with Viewer(show(server, vm)["console"]) as viewer:
        viewer.until(b"of PC")
        viewer.until(b"QQ7> ")


def test_a_talkative_startup_script_blocks_nothing(server: Server, project: str) -> None:
    """Q-8: with nobody looking; VPCS itself would wait for a viewer after 16 to 20 KiB."""
    script = "echo " + "x" * 100 + "\n"
    vm = linked(server, project, startup_script=script * 400 + "set pcname DONE\n")
    start(server, vm)
    log = directory(server, vm) / "vpcs.log"
    until(lambda: b"DONE> " in log.read_bytes(), "the end of the script")
    assert log.stat().st_size > 40_000
    with Viewer(show(server, vm)["console"]) as viewer:
        viewer.until(b"DONE> ")


ESCAPES = [
    "!{}",
    "! {}",
    "  !{}",
    "\t!{}",
    "!!{}",
    "show ip\r!{}",
    "echo x; !{}",
    "echo x\n!{}",
    "x\b!{}",
    "abc\x15!{}",
    "\x01!{}",
    "{}\x01!",
    "{}\x1b[H!",
    "{}\x1bOH!",
    "{}" + "\x1b[D" * 200 + "!",
    "\xff\xf1!{}",
    "!\x00{}",
    "echo !{}\n!!",
    "echo " + "y" * 122 + "!{}",
    "rlogin 127.0.0.1 `{}`",
    "rlogin 127.0.0.1 $({})",
    "ping `{}`",
    "ping $({})",
    "load $({})",
    "load |{}",
    "save ;{}",
]


def test_no_command_of_the_host_runs_from_the_console(server: Server, vm: str) -> None:
    """Q-10, B-15: `!` and every way to smuggle it in that we know, line editing and history included.

    VPCS itself crashes at some of them when they get long; then it is started again, and nothing has run all the same.
    """
    history = [b"\x1b[A", b"\x10", b"\x1b[A\x1b[A", b"\x12touch"]
    with tempfile.TemporaryDirectory() as marks:
        lines = [escape.format(f"touch {marks}/{n}").encode("latin-1") for n, escape in enumerate(ESCAPES)]
        for line in lines + [keys + b"\x01!" for keys in history]:
            nothing(server.http.post(f"{vm}/start"))
            with Viewer(show(server, vm)["console"]) as viewer:
                viewer.until(b"VPCS> ")
                viewer.socket.sendall(line + b"\r\n")
                settle(viewer)
        assert list(Path(marks).iterdir()) == []


def settle(viewer: Viewer) -> None:
    """Let VPCS come back to its prompt, or end. It loses what is typed right after a `!` or Ctrl-C, so ask again."""
    mark = uuid.uuid4().hex[:12]
    attempts = itertools.count(1)

    def answers() -> bool:
        try:
            if next(attempts) % 4 == 0:
                viewer.socket.sendall(b"\x03")
            else:
                viewer.type(f"echo {mark}")
        except ConnectionError:
            return True
        try:
            return bool(viewer.until(f"\n{mark}".encode(), 0.15))
        except AssertionError:
            return False

    until(answers, "the prompt")


def test_no_command_of_the_host_runs_from_a_startup_script(server: Server, project: str, tmp_path: Path) -> None:
    """Q-10, Q-11, B-15: nor from what comes after the cut of a long line; nor from a script that is loaded."""
    lines = [escape.format(f"touch {tmp_path}/{number}") for number, escape in enumerate(ESCAPES[:5])]
    lines += [f"{'#' * padding}!touch {tmp_path}/cut{padding}" for padding in range(120, 132)]
    lines += [f"! touch {tmp_path}/last", "set pcname DONE"]
    vm = linked(server, project, startup_script="\n".join(lines) + "\n")
    start(server, vm)
    log = directory(server, vm) / "vpcs.log"
    until(lambda: b"DONE> " in log.read_bytes(), "the end of the script")
    (directory(server, vm) / "more.vpc").write_text(f"!touch {tmp_path}/loaded\nset pcname LOADED\n")
    with Viewer(show(server, vm)["console"]) as viewer:
        viewer.until(b"DONE> ")
        viewer.type("load more.vpc")
        viewer.until(b"LOADED> ")
    assert list(tmp_path.iterdir()) == []


def test_a_startup_script_may_quit(server: Server, project: str) -> None:
    """S-7, S-3: started or refused, but in the end it is stopped and nothing hangs."""
    vm = linked(server, project, startup_script="quit\n")
    assert server.http.post(f"{vm}/start").status_code in (204, 409)
    until(lambda: show(server, vm)["status"] == "stopped", "the VM to be stopped")
    assert server.children() == []
