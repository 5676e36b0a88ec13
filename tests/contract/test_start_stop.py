"""Sections 9 and 12 of docs/api.md: VPCS as a user sees them start, run and end."""

import itertools
import os
import shutil
import signal
import socket
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from expect import nothing, refusal, shown
from host import command_line, runs, suspend, taken, tcp_listeners, tcp_listeners_of, udp_ports_of
from support import Server, Viewer, free_range, running, until

RELAY = 9


@pytest.fixture
def project(server: Server) -> Iterator[str]:
    """A project that leaves no process behind."""
    project = server.project()
    yield project
    assert server.http.delete(project).status_code in (204, 404)
    assert server.children() == []


@pytest.fixture
def vm(server: Server, project: str) -> str:
    """A linked VM that is not started."""
    return linked(server, project)


def linked(server: Server, project: str, lport: int | None = None, **body: Any) -> str:
    vm = server.vm(project, **body)
    lport = lport or shown(server.http.post(f"{project}/ports/udp"), 201)["udp_port"]
    assert server.link(vm, lport, 9).status_code == 201
    return vm


def start(server: Server, vm: str) -> int:
    """Start one more VM; its pid."""
    before = set(server.children())
    nothing(server.http.post(f"{vm}/start", json={}))
    (pid,) = set(server.children()) - before
    return pid


def show(server: Server, vm: str) -> dict[str, Any]:
    found: dict[str, Any] = shown(server.http.get(vm))
    return found


def directory(server: Server, vm: str) -> Path:
    return Path(show(server, vm)["vm_directory"])


# Start


def test_without_a_link_nothing_starts(server: Server, project: str) -> None:
    """S-1, S-6."""
    vm = server.vm(project)
    refusal(server.http.post(f"{vm}/start", json={}), 409)
    refusal(server.http.post(f"{vm}/reload", json={}), 409)
    assert show(server, vm)["status"] == "stopped"
    assert server.children() == []


def test_a_started_vm_runs_with_its_console_and_its_port(server: Server, vm: str) -> None:
    """S-1, S-3, C-1, Q-3, Q-4: one process, which itself has the lport; the console is on loopback alone."""
    pid = start(server, vm)
    found = show(server, vm)
    assert found["status"] == "started"
    assert udp_ports_of(pid) == {server.udp[0]}
    assert ("127.0.0.1", found["console"]) in tcp_listeners()
    assert ("0.0.0.0", found["console"]) not in tcp_listeners()
    assert found["command_line"].split() == command_line(pid)
    assert "-p" not in command_line(pid)
    assert tcp_listeners_of(pid) == set()
    assert Path(f"/proc/{pid}/task/{pid}/children").read_text() == ""


def test_start_of_a_running_vm_changes_nothing(server: Server, vm: str) -> None:
    """S-1."""
    pid = start(server, vm)
    for _ in range(3):
        nothing(server.http.post(f"{vm}/start"))
    assert server.children() == [pid]


def test_the_arguments_are_those_that_every_version_knows(server: Server, project: str) -> None:
    """S-4, Q-2, Q-7: one instance, its MAC id, its ports; a script only when there is one."""
    plain, scripted = linked(server, project), linked(server, project, startup_script="show")
    arguments = [command_line(start(server, vm))[1:] for vm in (plain, scripted)]
    for mac_id, found in enumerate(arguments):
        options = dict(zip(found[::2], found[1::2], strict=False))
        assert options["-i"] == "1"
        assert options["-m"] == str(mac_id)
        assert int(options["-s"]) == server.udp[0] + mac_id
        assert options["-c"] == "9"
        assert options["-t"] == "127.0.0.1"
        assert "-R" not in found
    assert "startup.vpc" not in arguments[0]
    assert arguments[1][-1] == "startup.vpc"


def test_a_vm_works_in_its_directory(server: Server, vm: str) -> None:
    """S-2, C-3."""
    pid = start(server, vm)
    assert Path(f"/proc/{pid}/cwd").readlink() == directory(server, vm)


def test_output_goes_to_the_log(server: Server, vm: str) -> None:
    """S-2."""
    start(server, vm)
    log = directory(server, vm) / "vpcs.log"
    until(lambda: b"Welcome to Virtual PC Simulator" in log.read_bytes(), "the banner in the log")
    with Viewer(show(server, vm)["console"]) as viewer:
        viewer.until(b"VPCS> ")
        viewer.type("show ip")
        viewer.until(b"GATEWAY")
    until(lambda: b"GATEWAY" in log.read_bytes(), "the answer in the log")


def test_vms_start_at_once(server: Server, project: str) -> None:
    """S-3, L-2: four of them in parallel, each with its own port."""
    vms = [linked(server, project) for _ in range(4)]
    assert together(server, [f"{vm}/start" for vm in vms]) == [204] * 4
    assert sorted(port for pid in server.children() for port in udp_ports_of(pid)) == [
        server.udp[0] + n for n in range(4)
    ]


def together(server: Server, paths: list[str], method: str = "POST") -> list[int]:
    """Send a request to each path at once; the statuses."""
    with ThreadPoolExecutor(len(paths)) as threads:
        return [reply.status_code for reply in threads.map(partial(server.http.request, method), paths)]


# What can go wrong


def test_an_lport_that_a_stranger_has_is_a_conflict(server: Server, vm: str) -> None:
    """S-3, B-10: and nothing of the VM is left, process, console or state."""
    console = show(server, vm)["console"]
    for address in ("0.0.0.0", "127.0.0.1"):
        with taken(server.udp[0], socket.SOCK_DGRAM, address):
            refusal(server.http.post(f"{vm}/start"), 409)
            assert server.children() == []
            assert console not in tcp_listeners_of(server.process.pid)
            assert show(server, vm)["status"] == "stopped"
    assert udp_ports_of(start(server, vm)) == {server.udp[0]}


def test_a_reload_that_meets_a_stranger_leaves_a_stopped_vm(server: Server, vm: str) -> None:
    """S-6, S-3."""
    with taken(server.udp[0], socket.SOCK_DGRAM):
        refusal(server.http.post(f"{vm}/reload"), 409)
    assert show(server, vm)["status"] == "stopped"
    start(server, vm)


def test_a_console_that_a_stranger_has_is_a_conflict(server: Server, vm: str) -> None:
    """S-3, M-4, B-10: no process is left."""
    with taken(show(server, vm)["console"], address="127.0.0.1"):
        refusal(server.http.post(f"{vm}/start"), 409)
    assert server.children() == []
    assert show(server, vm)["status"] == "stopped"
    start(server, vm)


def fake(path: Path, script: str, mode: int = 0o755) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(mode)


VERSION = 'echo "Welcome to Virtual PC Simulator, version %s"'


def real(path: Path, version: str) -> None:
    """The real VPCS, which says that it is of that version; as long as the true one."""
    true = shutil.which("vpcs")
    assert true is not None, "vpcs is not on the PATH"
    program = Path(true).read_bytes()
    assert program.count(b"0.5b2\0") == 1
    path.write_bytes(program.replace(b"0.5b2", version.encode()))
    path.chmod(0o755)


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, str, Path]]:
    """A server whose vpcs is what the test writes to a path; a linked VM of it; the path."""
    root = tmp_path_factory.mktemp("emulator")
    program = root / "my-vpcs"
    (root / "labplane.toml").write_text(f'[plugins.vpcs]\nprogram = "{program}"\n')
    with running(root / "projects", "--config", str(root / "labplane.toml")) as server:
        yield server, linked(server, server.project()), program


@pytest.mark.parametrize(
    ("script", "mode"),
    [
        (None, 0),
        (VERSION % "0.5b2", 0o644),
        (VERSION % "0.5b0", 0o755),
        (VERSION % "0.4b2", 0o755),
        (VERSION % "0.4.9", 0o755),
        ("echo usage", 0o755),
        (VERSION % "unknown", 0o755),
        ("exit 1", 0o755),
        ("kill -9 $$", 0o755),
    ],
    ids=[
        "missing",
        "not executable",
        "too old beta",
        "too old 0.4 beta",
        "too old 0.4",
        "no version",
        "odd version",
        "fails",
        "dies",
    ],
)
def test_a_vpcs_that_cannot_be_used_is_a_conflict(
    emulator: tuple[Server, str, Path], script: str | None, mode: int
) -> None:
    """S-1, O-11: and nothing is left."""
    server, vm, program = emulator
    program.unlink(missing_ok=True)
    if script is not None:
        fake(program, script, mode)
    for action in ("start", "reload"):
        refusal(server.http.post(f"{vm}/{action}"), 409)
        assert show(server, vm)["status"] == "stopped"
        assert server.children() == []


def test_a_vpcs_that_ends_at_once_is_a_conflict(emulator: tuple[Server, str, Path]) -> None:
    """S-3, Q-2, B-10: with success at that, for that is what an option means that it does not know."""
    server, vm, program = emulator
    real(program, "0.8b1")
    refusal(server.http.post(f"{vm}/start"), 409)
    assert show(server, vm)["status"] == "stopped"
    assert server.children() == []


def test_a_vpcs_that_does_not_answer_is_given_up(emulator: tuple[Server, str, Path]) -> None:
    """S-1, B-21: without holding up the server meanwhile."""
    server, vm, program = emulator
    fake(program, "exec sleep 60")
    thread = threading.Thread(target=lambda: refusal(server.http.post(f"{vm}/start"), 409))
    thread.start()
    until(server.children, "the program that does not answer")
    began = time.monotonic()
    shown(server.http.get("/v1/version"))
    assert time.monotonic() - began < 2
    thread.join()
    assert server.children() == []


@pytest.mark.parametrize(
    ("version", "without_relay"),
    [("0.5b1", False), ("0.5b2", False), ("0.6.1", False), ("0.8b1", True), ("0.8.3", True)],
)
def test_what_a_vpcs_is_told_depends_on_its_version(
    emulator: tuple[Server, str, Path], version: str, without_relay: bool
) -> None:
    """S-1, Q-1, Q-2, B-12, B-21, O-11: 0.5b1 will do, 0.8 has -R, and an exchanged program is noticed."""
    server, vm, program = emulator
    real(program, version)
    reply = server.http.post(f"{vm}/start")
    assert reply.status_code == (409 if without_relay else 204)
    assert ("-R" in show(server, vm)["command_line"].split()) == without_relay
    nothing(server.http.post(f"{vm}/stop"))


def test_the_version_is_asked_once(emulator: tuple[Server, str, Path]) -> None:
    """B-21: not at each start, as long as the program stays what it is."""
    server, vm, program = emulator
    asked = program.parent / "asked"
    fake(program, f"echo x >> {asked}; {VERSION % '0.5b2'}")
    for _ in range(3):
        server.http.post(f"{vm}/start")
        server.http.post(f"{vm}/stop")
    assert asked.read_text() == "x\n"
    fake(program, f"echo y >> {asked}; {VERSION % '0.5b2'}; # exchanged")
    server.http.post(f"{vm}/start")
    assert asked.read_text() == "x\ny\n"
    nothing(server.http.post(f"{vm}/stop"))


# Stop, reload, the end


def test_stop_ends_the_process_and_frees_its_ports(server: Server, vm: str) -> None:
    """S-5, B-11: when it answers, both can be bound again; and it may be repeated."""
    console = show(server, vm)["console"]
    nothing(server.http.post(f"{vm}/stop", json={}))
    for _ in range(3):
        pid = start(server, vm)
        with Viewer(console) as viewer:
            viewer.until(b"VPCS> ")
            nothing(server.http.post(f"{vm}/stop", json={}))
            assert not runs(pid)
            viewer.until_closed()
        with taken(server.udp[0], socket.SOCK_DGRAM):
            assert console not in tcp_listeners_of(server.process.pid)
        assert show(server, vm)["status"] == "stopped"
    nothing(server.http.post(f"{vm}/stop", json={}))


def test_a_process_that_does_not_heed_sigterm_is_killed_after_three_seconds(server: Server, vm: str) -> None:
    """S-5: one that is suspended gets no SIGTERM."""
    pid = start(server, vm)
    suspend(pid)
    began = time.monotonic()
    nothing(server.http.post(f"{vm}/stop"))
    assert not runs(pid)
    assert 2.5 < time.monotonic() - began < 8


def test_reload_is_stop_and_start(server: Server, vm: str) -> None:
    """S-6: of a stopped VM too; console and lport stay the same."""
    console = show(server, vm)["console"]
    pids = []
    for _ in range(3):
        nothing(server.http.post(f"{vm}/reload", json={}))
        (pid,) = server.children()
        assert udp_ports_of(pid) == {server.udp[0]}
        pids.append(pid)
        with Viewer(console) as viewer:
            viewer.until(b"VPCS> ")
    assert len(set(pids)) == 3


def test_quit_on_the_console_stops_the_vm(server: Server, vm: str) -> None:
    """S-7, Q-9: and it can be started again."""
    for _ in range(2):
        pid = start(server, vm)
        with Viewer(show(server, vm)["console"]) as viewer:
            viewer.until(b"VPCS> ")
            viewer.type("quit")
            viewer.until_closed()
        until(lambda: show(server, vm)["status"] == "stopped", "the VM to be stopped")
        assert not runs(pid)
        assert (directory(server, vm) / "vpcs.hist").exists()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_crash_stops_the_vm(server: Server, vm: str, number: int) -> None:
    """S-7: the console closes, the port is free, start works again."""
    pid = start(server, vm)
    console = show(server, vm)["console"]
    with Viewer(console) as viewer:
        viewer.until(b"VPCS> ")
        os.kill(pid, number)
        viewer.until_closed()
    until(lambda: show(server, vm)["status"] == "stopped", "the VM to be stopped")
    assert server.children() == []
    nothing(server.http.post(f"{vm}/stop"))
    assert udp_ports_of(start(server, vm)) == {server.udp[0]}


@pytest.mark.parametrize(("method", "suffix"), [("POST", "/close"), ("DELETE", "")])
def test_no_process_outlives_its_project(server: Server, method: str, suffix: str) -> None:
    """S-8, P-12, P-13: and no socket of it either."""
    project = server.project()
    vms = [linked(server, project) for _ in range(3)]
    consoles = {show(server, vm)["console"] for vm in vms}
    pids = [start(server, vm) for vm in vms]
    nothing(server.http.request(method, project + suffix))
    assert not any(runs(pid) for pid in pids)
    assert not consoles & tcp_listeners_of(server.process.pid)
    for offset in range(3):
        with taken(server.udp[0] + offset, socket.SOCK_DGRAM):
            pass


def test_a_vm_can_be_deleted_while_it_starts(server: Server, project: str) -> None:
    """S-8, L-1: they queue up, and nothing is left."""
    for _ in range(5):
        vm = linked(server, project)
        with ThreadPoolExecutor() as threads:
            start = threads.submit(server.http.post, f"{vm}/start")
            nothing(server.http.delete(vm))
        assert start.result().status_code in (204, 404)
        assert server.children() == []


# The console


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


# The relay socket (Q-5, B-12)


def neighbours(server: Server, project: str) -> tuple[str, str]:
    """Two VMs whose lports are nine apart."""
    first = server.udp[0] + 20
    return linked(server, project, first), linked(server, project, first + RELAY)


def both_up(server: Server, lower: str, upper: str) -> None:
    """Each VM has its own lport bound and no other."""
    nio = {lower: server.udp[0] + 20, upper: server.udp[0] + 20 + RELAY}
    ports = {show(server, vm)["command_line"]: nio[vm] for vm in (lower, upper)}
    pids = server.children()
    assert len(pids) == 2
    for pid in pids:
        assert udp_ports_of(pid) == {ports[" ".join(command_line(pid))]}


@pytest.mark.parametrize("upper_first", [False, True])
@pytest.mark.parametrize("pause", [0, 0.05, 0.12, 0.18, 0.25, 0.6])
def test_two_vms_nine_ports_apart_both_work(server: Server, project: str, upper_first: bool, pause: float) -> None:
    """Q-5, B-12: whichever comes first and whenever the other follows."""
    lower, upper = neighbours(server, project)
    order = (upper, lower) if upper_first else (lower, upper)
    nothing(server.http.post(f"{order[0]}/start"))
    time.sleep(pause)  # the moment within VPCS's first quarter of a second is what is varied here
    nothing(server.http.post(f"{order[1]}/start"))
    both_up(server, lower, upper)
    after_the_attempt(server)
    both_up(server, lower, upper)


def after_the_attempt(server: Server) -> None:
    """Wait until each VPCS has all of its five threads, the last of which has tried for the relay socket and sleeps."""

    def settled(pid: int) -> bool:
        tasks = sorted(int(task.name) for task in Path(f"/proc/{pid}/task").iterdir())
        if len(tasks) < 5:
            return False
        stat = Path(f"/proc/{pid}/task/{tasks[4]}/stat").read_text()
        return stat[stat.rindex(")") + 2] == "S"

    for pid in server.children():
        until(partial(settled, pid), "the five threads of VPCS")


def test_two_vms_nine_ports_apart_start_simultaneously(server: Server, project: str) -> None:
    """Q-5, B-12: and a third, that is nine ports above the second."""
    lower, upper = neighbours(server, project)
    third = linked(server, project, server.udp[0] + 20 + 2 * RELAY)
    vms = [lower, upper, third]
    for order in (vms, vms[::-1], [upper, lower, third]):
        assert together(server, [f"{vm}/start" for vm in order]) == [204] * 3
        after_the_attempt(server)
        assert sorted(sorted(udp_ports_of(pid)) for pid in server.children()) == [
            [server.udp[0] + 20 + n * RELAY] for n in range(3)
        ]
        assert together(server, [f"{vm}/stop" for vm in order]) == [204] * 3
        assert server.children() == []


@pytest.mark.parametrize("restarted", [0, 1])
@pytest.mark.parametrize("pause", [0, 0.12, 0.3])
def test_a_restart_beside_a_neighbour_nine_ports_apart_works(
    server: Server, project: str, restarted: int, pause: float
) -> None:
    """Q-5, B-12: by stop and start, and by reload."""
    pair = neighbours(server, project)
    for vm in pair:
        nothing(server.http.post(f"{vm}/start"))
    time.sleep(pause)  # as above
    nothing(server.http.post(f"{pair[restarted]}/stop"))
    nothing(server.http.post(f"{pair[restarted]}/start"))
    both_up(server, *pair)
    nothing(server.http.post(f"{pair[restarted]}/reload"))
    both_up(server, *pair)
    nothing(server.http.post(f"{pair[1 - restarted]}/reload"))
    after_the_attempt(server)
    both_up(server, *pair)


def test_the_relay_port_of_a_running_vm_can_be_allocated(tmp_path: Path) -> None:
    """Q-5, U-4, B-12: right after the start and later."""
    with running(tmp_path / "projects", udp=free_range(10, socket.SOCK_DGRAM)) as server:
        project = server.project()
        vm = linked(server, project)
        start(server, vm)
        numbers = [shown(server.http.post(f"{project}/ports/udp"), 201)["udp_port"] for _ in range(9)]
        assert numbers == [server.udp[0] + n for n in range(1, 10)]
        after_the_attempt(server)
        until(lambda: _bindable(server.udp[0] + RELAY), "the relay's port to be free on the host")


def _bindable(number: int) -> bool:
    try:
        with taken(number, socket.SOCK_DGRAM):
            return True
    except OSError:
        return False


def test_a_stranger_at_the_relay_port_is_in_nobodys_way(server: Server, vm: str) -> None:
    """Q-5."""
    with taken(server.udp[0] + RELAY, socket.SOCK_DGRAM):
        assert udp_ports_of(start(server, vm)) == {server.udp[0]}


def test_the_highest_port_has_no_room_for_a_relay(server: Server, project: str) -> None:
    """Q-5, U-6: 65535 + 9 is no port."""
    vm = linked(server, project, 65535)
    assert 65535 in udp_ports_of(start(server, vm))
