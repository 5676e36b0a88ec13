"""The built-in PC behind the routes of VPCS: beside the real program, on its console, in its files, in its engine."""

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
from websockets.sync.client import connect

from expect import nothing, shown
from inprocess import own, settings
from labplane import plug
from labplane.cli import machines
from labplane.keeper.client import Keeper
from labplane.kernel import Kernel
from labplane.testing import host
from support import DEADLINE, Server, Viewer, free_range, running, until

PROGRAM, BUILT_IN = "vpcs", "builtin"
needs_program = pytest.mark.skipif(shutil.which("vpcs") is None, reason="vpcs is not installed")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("built-in") / "projects", consoles=free_range(320)) as server:
        yield server


@pytest.fixture
def project(server: Server) -> Iterator[str]:
    project = server.project()
    yield project
    nothing(server.http.delete(project))


def pair(server: Server, project: str, *engines: str) -> list[str]:
    """Two linked VMs with those engines, started."""
    vms = [server.vm(project, f"PC{number}", engine=engine) for number, engine in enumerate(engines, 1)]
    ports = [shown(server.http.post(f"{project}/ports/udp"), 201)["udp_port"] for _ in vms]
    for vm, lport, rport in zip(vms, ports, reversed(ports), strict=True):
        assert server.link(vm, lport, rport).status_code == 201
    for vm in vms:
        nothing(server.http.post(f"{vm}/start"))
    return vms


def at(server: Server, vm: str) -> Viewer:
    """A viewer at the prompt of a VM."""
    viewer = Viewer(shown(server.http.get(vm))["console"])
    viewer.until(b"> ")
    return viewer


def answer(viewer: Viewer, line: str) -> bytes:
    """What is printed after a line was typed, up to the next prompt."""
    viewer.type(line)
    viewer.until(line.encode())
    return viewer.until(b"> ")


def engine_pid(server: Server) -> int:
    """The process of the server's engine."""
    (pid,) = host.engines(server.projects)
    return pid


@pytest.mark.parametrize(
    "engines",
    [
        (BUILT_IN, BUILT_IN),
        pytest.param((BUILT_IN, PROGRAM), marks=needs_program),
        pytest.param((PROGRAM, BUILT_IN), marks=needs_program),
    ],
    ids=" to ".join,
)
def test_pcs_of_both_engines_reach_each_other_in_every_way(
    server: Server, project: str, engines: tuple[str, str]
) -> None:
    one, two = pair(server, project, *engines)
    with at(server, one) as here, at(server, two) as there:
        for viewer, number in ((here, 1), (there, 2)):
            assert b"255.255.255.0" in answer(viewer, f"ip 10.0.0.{number}/24")
            answer(viewer, f"ip 2001:db8::{number}/64")
        for line, words in (
            ("ping 10.0.0.2 -c 2", rb"icmp_seq=2 ttl=64 time="),
            ("ping 10.0.0.2 -c 1 -P 17", rb"udp_seq=1 ttl=64 time="),
            ("ping 10.0.0.2 -c 1 -P 6", rb"Connect +7@.*SendData +7@.*Close +7@10.0.0.2 seq=1 ttl=64"),
            ("trace 10.0.0.2", rb" 1   \*10.0.0.2 .* port unreachable\)"),
            ("trace 10.0.0.2 -P 1", rb" 1   10.0.0.2   \d.* ms  \d.* ms  \d.* ms"),
            ("ping 2001:db8::2 -c 1", rb"icmp6_seq=1 ttl=64"),
            ("ping 2001:db8::2 -c 1 -P 17", rb"udp6_seq=1 ttl=64"),
            ("arp", rb"10.0.0.2 expires in"),
        ):
            said = answer(here, line)
            assert re.search(words, said, re.DOTALL), (line, said)
        if PROGRAM not in engines:  # VPCS 0.5b2 can do neither
            assert b"4028 bytes from 10.0.0.2" in answer(here, "ping 10.0.0.2 -c 1 -l 4000")
            assert b"Close     7@2001:db8::2 seq=1" in answer(here, "ping 2001:db8::2 -c 1 -P 6")
        assert b"10.0.0.2 is being used by MAC" in answer(here, "ip 10.0.0.2/24")
        answer(here, "ip 10.0.0.1/24")
        assert b"10.0.0.1 is being used by MAC" in answer(there, "ip 10.0.0.1/24")


@needs_program
def test_a_configuration_moves_from_one_engine_to_the_other_and_back(server: Server, project: str) -> None:
    vm, _ = pair(server, project, BUILT_IN, BUILT_IN)
    with at(server, vm) as viewer:
        answer(viewer, "set pcname HERE")
        answer(viewer, "ip 10.1.1.1/26 10.1.1.62")
        answer(viewer, "save")
    script = shown(server.http.get(vm))["startup_script"]
    assert script == "set pcname HERE\nip 10.1.1.1 10.1.1.62 26\n"
    for engine in (PROGRAM, BUILT_IN):
        shown(server.http.put(vm, json={"engine": engine}))
        nothing(server.http.post(f"{vm}/reload"))
        with at(server, vm) as viewer:
            assert b"10.1.1.1/26" in answer(viewer, "show ip")
            assert b"HERE> " in answer(viewer, "save")
        assert shown(server.http.get(vm))["startup_script"] == script


@needs_program
def test_the_history_outlasts_a_stop_and_moves_between_the_engines(server: Server, project: str) -> None:
    vm, _ = pair(server, project, BUILT_IN, BUILT_IN)
    place = Path(shown(server.http.get(vm))["vm_directory"])
    lines = ["echo one"]
    with at(server, vm) as viewer:
        answer(viewer, "echo one")
    nothing(server.http.post(f"{vm}/stop"))
    for engine in (BUILT_IN, PROGRAM, BUILT_IN):
        assert (place / "vpcs.hist").read_text().splitlines() == lines
        shown(server.http.put(vm, json={"engine": engine}))
        nothing(server.http.post(f"{vm}/start"))
        with at(server, vm) as viewer:
            assert "\r\n".join([*lines, "history"]).encode() in answer(viewer, "history")
            viewer.type("quit")
            until(lambda: shown(server.http.get(vm))["status"] == "stopped", "the end of the VM")
        lines += ["history", "quit"]


def test_the_engine_is_shown_and_chosen_for_the_next_start(server: Server, project: str) -> None:
    made = shown(server.http.post(f"{project}/vpcs/vms", json={"name": "PC"}), 201)
    vm = f"{project}/vpcs/vms/{made['vm_id']}"
    assert shown(server.http.get(vm))["engine"] == "auto"
    assert shown(server.http.put(vm, json={"engine": BUILT_IN}))["engine"] == BUILT_IN
    assert server.http.put(vm, json={"engine": "qemu"}).status_code == 400


def test_a_built_in_pc_is_no_process_of_its_own_and_says_so(server: Server, project: str) -> None:
    before = set(server.children())
    vm, _ = pair(server, project, BUILT_IN, BUILT_IN)
    assert set(server.children()) == before
    seen = shown(server.http.get(vm))
    assert seen["command_line"].startswith("(built-in) -m ")
    with Viewer(seen["console"]) as viewer:
        assert b"the built-in engine of labplane" in viewer.until(b"> ")


def test_several_viewers_see_one_console_and_one_can_leave_it(server: Server, project: str) -> None:
    vm, _ = pair(server, project, BUILT_IN, BUILT_IN)
    with at(server, vm) as one, at(server, vm) as two:
        answer(one, "echo hello")
        two.until(b"hello")
        one.type("disconnect")
        one.until(b"Good-bye")
        one.until_closed()
        assert b"still here" in answer(two, "echo still here")


def test_quit_stops_the_vm(server: Server, project: str) -> None:
    vm, _ = pair(server, project, BUILT_IN, BUILT_IN)
    with at(server, vm) as viewer:
        viewer.type("quit")
        until(lambda: shown(server.http.get(vm))["status"] == "stopped", "the end of the VM")
    nothing(server.http.post(f"{vm}/start"))
    assert shown(server.http.get(vm))["status"] == "started"


def test_when_the_engine_is_killed_its_vms_are_stopped_and_can_be_started_again(server: Server, project: str) -> None:
    vms = pair(server, project, BUILT_IN, BUILT_IN)
    os.kill(engine_pid(server), signal.SIGKILL)
    until(lambda: all(shown(server.http.get(vm))["status"] == "stopped" for vm in vms), "that they are seen to be gone")
    for vm in vms:
        nothing(server.http.post(f"{vm}/start"))
    with at(server, vms[0]) as one, at(server, vms[1]) as two:
        answer(one, "ip 10.0.0.1/24")
        answer(two, "ip 10.0.0.2/24")
        assert b"84 bytes from 10.0.0.2 icmp_seq=1" in answer(one, "ping 10.0.0.2 -c 1")


def test_when_the_keeper_is_killed_the_engine_ends_with_it_and_its_vms_start_again(tmp_path: Path) -> None:
    with running(tmp_path / "projects") as server:
        vms = pair(server, server.project(), BUILT_IN, BUILT_IN)
        pid = engine_pid(server)
        (keeper,) = host.keepers(server.projects) - {pid}
        assert next(one.parent for one in host.processes() if one.pid == pid) == keeper
        os.kill(keeper, signal.SIGKILL)
        until(lambda: not Path(f"/proc/{pid}").exists(), "the end of the engine")
        until(
            lambda: all(shown(server.http.get(vm))["status"] == "stopped" for vm in vms), "that they are seen stopped"
        )
        for vm in vms:
            nothing(server.http.post(f"{vm}/start"))
        with at(server, vms[0]) as viewer:
            assert b"NAME" in answer(viewer, "show ip")


def test_what_runs_is_listed_and_ended_with_the_engine_of_a_killed_server(tmp_path: Path) -> None:
    with running(tmp_path / "projects") as server:
        vms = pair(server, server.project(), BUILT_IN, BUILT_IN)
        pid, place = engine_pid(server), server.projects / ".labplane"
        server.kill()
        rows = machines.listed(place)
        assert {(row["pid"], row["vm_id"], row["kind"]) for row in rows} == {
            (pid, vm.rsplit("/", 1)[1], "vpcs") for vm in vms
        }
        assert len(machines.ended(place)) == 2
        until(lambda: not Path(f"/proc/{pid}").exists(), "the end of the engine")
        assert machines.listed(place) == []


def test_no_engine_is_left_when_its_server_ends(tmp_path: Path) -> None:
    with running(tmp_path / "projects") as server:
        pair(server, server.project(), BUILT_IN, BUILT_IN)
        pid = engine_pid(server)
    until(lambda: not Path(f"/proc/{pid}").exists(), "the end of the engine")


def told_place(server: Server, vm: str, place: str) -> Any:
    """What a viewer that counts bytes is told first when it comes again at `place`."""
    url = f"ws://127.0.0.1:{server.port}{vm}/console?from={place}"
    with connect(url, open_timeout=DEADLINE, close_timeout=1, proxy=None) as viewer:
        return json.loads(viewer.recv(timeout=DEADLINE))


def test_built_in_pcs_outlive_their_server_and_the_next_one_takes_them_over(tmp_path: Path) -> None:
    with running(tmp_path / "projects") as server:
        vms = pair(server, server.project(name="kept"), BUILT_IN, BUILT_IN)
        with at(server, vms[0]) as one, at(server, vms[1]) as two:
            answer(one, "ip 10.0.0.1/24")
            answer(two, "ip 10.0.0.2/24")
        pid, before = engine_pid(server), shown(server.http.get(vms[0]))
        place = told_place(server, vms[0], "")
        server.stop(signal.SIGKILL)
        consoles, udp = ("{}-{}".format(*ends) for ends in (server.consoles, server.udp))
        with running(tmp_path / "projects", consoles=consoles, udp=udp) as again:
            after = shown(again.http.get(vms[0]))
            assert engine_pid(again) == pid
            for name in ("status", "console", "command_line", "engine"):
                assert after[name] == before[name], name
            assert told_place(again, vms[0], f"{place['run']}:{place['offset']}") == place, "M-19"
            with at(again, vms[0]) as one:
                assert b"84 bytes from 10.0.0.2 icmp_seq=1" in answer(one, "ping 10.0.0.2 -c 1")
            nothing(again.http.post(f"{vms[0]}/stop"))
            nothing(again.http.post(f"{vms[0]}/start"))


def test_the_engine_is_asked_for_its_pcs_as_often_as_for_one_however_many_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To tell of all of them takes as long as there are many."""
    its_settings = settings(tmp_path)
    ask = Keeper.ask
    asked: list[str] = []

    async def noted(keeper: Keeper, op: str, *more: Any, **members: Any) -> dict[str, Any]:
        asked.append(op)
        return await ask(keeper, op, *more, **members)

    async def lives(on_exit: Literal["end", "keep"], new: int) -> int:
        """A server from its start to its end, with so many new PCs; how often it had asked when it was up."""
        asked.clear()
        lab = Kernel(replace(its_settings, on_exit=on_exit), own())
        await lab.start()
        begun = asked.count("list")
        try:
            known = await lab.ask("GET", "/v1/projects")
            project_id = (known[0] if known else await lab.ask("POST", "/v1/projects"))["project_id"]
            assert {vm.status for vm in lab.vms.of(project_id)} <= {"started"}
            vms = "/v1/projects/{project_id}/vpcs/vms"
            for number in range(new):
                vm = await lab.ask("POST", vms, {"name": f"PC{number}", "engine": BUILT_IN}, project_id=project_id)
                lport = (await lab.ask("POST", "/v1/ports/udp"))["udp_port"]
                nio = {"type": "nio_udp", "lport": lport, "rport": lport, "rhost": "127.0.0.1"}
                await plug(lab.find_vm(project_id, vm["vm_id"]), (0, 0), nio)
                await lab.ask("POST", f"{vms}/{{vm_id}}/start", project_id=project_id, vm_id=vm["vm_id"])
        finally:
            await lab.end()
        return begun

    monkeypatch.setattr(Keeper, "ask", noted)
    asyncio.run(lives("keep", 1))
    with_one = asyncio.run(lives("keep", 8))
    assert asyncio.run(lives("end", 0)) == with_one > 0


def test_three_built_in_pcs_meet_at_a_switch(server: Server, project: str) -> None:
    switch = server.vm(project, "SW", kind="switch", ports=3)
    vms = [server.vm(project, f"PC{number}", engine=BUILT_IN) for number in range(1, 4)]
    for number, vm in enumerate(vms):
        near, far = [shown(server.http.post(f"{project}/ports/udp"), 201)["udp_port"] for _ in range(2)]
        assert server.link(vm, near, far).status_code == 201
        nio = {"type": "nio_udp", "lport": far, "rport": near, "rhost": "127.0.0.1"}
        shown(server.http.post(f"{switch}/adapters/0/ports/{number}/nio", json=nio), 201)
    for vm in (switch, *vms):
        nothing(server.http.post(f"{vm}/start"))
    viewers = [at(server, vm) for vm in vms]
    for number, viewer in enumerate(viewers, 1):
        answer(viewer, f"ip 10.0.0.{number}/24")
    assert b"84 bytes from 10.0.0.3 icmp_seq=1" in answer(viewers[0], "ping 10.0.0.3 -c 1")
    assert b"84 bytes from 10.0.0.2 icmp_seq=1" in answer(viewers[0], "ping 10.0.0.2 -c 1")
    for viewer in viewers:
        viewer.socket.close()


def test_three_hundred_pcs_of_one_project_have_addresses_of_their_own(server: Server) -> None:
    project = server.project()
    numbers = set()
    for number in range(300):
        shown(server.http.post(f"{project}/vpcs/vms", json={"name": f"PC{number}", "engine": BUILT_IN}), 201)
    vms = shown(server.http.get(f"{project}/vpcs/vms"))
    for vm in (vms[0], vms[254], vms[255], vms[299]):
        path = f"{project}/vpcs/vms/{vm['vm_id']}"
        port = shown(server.http.post(f"{project}/ports/udp"), 201)["udp_port"]
        assert server.link(path, port, 9).status_code == 201
        nothing(server.http.post(f"{path}/start"))
        with at(server, path) as viewer:
            found = re.search(rb"MAC +: ([0-9a-f:]{17})", answer(viewer, "show ip"))
            assert found is not None
            numbers.add(found[1])
    assert len(numbers) == 4
    nothing(server.http.delete(project))


def test_without_the_program_the_built_in_engine_starts_all_the_same(tmp_path: Path) -> None:
    config = tmp_path / "labplane.toml"
    config.write_text('[plugins.vpcs]\nprogram = "/nowhere/vpcs"\nengine = "auto"\n')
    with running(tmp_path / "projects", "--config", str(config)) as server:
        project = server.project()
        pair(server, project, "auto", BUILT_IN)
        vm = server.vm(project, engine=PROGRAM)
        port = shown(server.http.post(f"{project}/ports/udp"), 201)["udp_port"]
        assert server.link(vm, port, 9).status_code == 201
        reply = server.http.post(f"{vm}/start")
        assert reply.status_code == 409
        assert "/nowhere/vpcs" in reply.json()["message"]


def test_the_engine_has_few_descriptors_left_when_its_pcs_are_gone(server: Server) -> None:
    project = server.project()
    pair(server, project, BUILT_IN, BUILT_IN)
    pid = engine_pid(server)
    nothing(server.http.delete(project))
    count = len(os.listdir(f"/proc/{pid}/fd"))
    for _ in range(3):
        again = server.project()
        pair(server, again, BUILT_IN, BUILT_IN)
        nothing(server.http.delete(again))
    assert len(os.listdir(f"/proc/{pid}/fd")) == count


def test_the_engine_takes_no_other_in_its_directory(server: Server, project: str) -> None:
    pair(server, project, BUILT_IN, BUILT_IN)
    place = next(server.projects.glob(".labplane/engine"))
    command = [sys.executable, "-I", "-m", "labplane_engine", str(place), "1", "-1", "-1"]
    second = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert second.returncode != 0
    assert "BlockingIOError" in second.stderr
