"""What cgroups do to runs, on a Linux that lets them: `test_groups.py` has this run in a guest of its own, as root."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import labplane_keeper
from children import SH, alive, gone
from keepers import Talk, connected, kept
from labplane.keeper import connection, starting
from labplane_keeper.groups import OWN
from labplane_keeper.visiting import end_all

ROOT = Path("/sys/fs/cgroup")
MIB = 1024 * 1024
LABPLANE = str(Path(sys.executable).parent / "labplane")
Test = Callable[[Talk], Awaitable[None]]
EATS = f"{sys.executable} -IS -c 'b = bytearray(50 * 1024 * 1024); print(len(b)); input()'"
GREEDY = f"echo child $(setsid {SH} -c 'echo $$; exec >&-; sleep 1000; sleep 1000' &); {EATS}; echo survived"


@pytest.fixture(autouse=True, scope="session")
def patience() -> None:
    """A keeper that is started anew beside other work takes ten times as long here as on the host, and more."""
    connection.ANSWERS_WITHIN = 180.0


def delegated(name: str) -> Path:
    """A cgroup as a service has it, with its controllers."""
    (ROOT / "cgroup.subtree_control").write_text("+memory +cpu +pids")
    place = ROOT / name
    place.mkdir()
    return place


@pytest.fixture(scope="session")
def service() -> Path:
    """The cgroup of a service, to which these tests belong."""
    place = delegated("service")
    enter(place)
    return place


def enter(cgroup: Path) -> None:
    """Put this process there."""
    (cgroup / "cgroup.procs").write_text("0")


@pytest.fixture
def place(service: Path, server: "Server", tmp_path: Path) -> Iterator[Path]:
    """The directory of a keeper that runs."""
    with kept(tmp_path / "keeper"):
        yield tmp_path / "keeper"


def talk(place: Path, test: Test) -> None:
    async def main() -> None:
        async with connected(place) as one, asyncio.timeout(180):
            await one.ask("groups")
            await test(one)

    asyncio.run(main())


def group(name: str = "vm", **limits: Any) -> dict[str, Any]:
    return {"group": {"name": name, **limits}}


def cgroup_of(pid: int) -> Path:
    return ROOT / Path(f"/proc/{pid}/cgroup").read_text().strip().removeprefix("0::/")


def below(top: Path) -> list[str]:
    return [path.name for path in top.iterdir() if path.is_dir()] if top.exists() else []


def test_the_keeper_and_its_server_make_room_and_each_program_begins_in_a_cgroup_of_its_own(
    service: Path, place: Path
) -> None:
    async def test(one: Talk) -> None:
        found = await one.ask("groups")
        top = Path(found["top"])
        assert (top.parent, found["controllers"], found["reason"]) == (service, ["memory", "cpu", "pids"], "")
        for pid in (os.getpid(), one.connection.hello["pid"]):
            assert cgroup_of(pid) == service / OWN
        limits: dict[str, Any] = {"memory": 64 * MIB, "processors": 0.5, "processes": 20}
        run = await one.spawn("vm", SH, "-c", "cat /proc/self/cgroup; read x", **group(**limits))
        await one.printed("vm", b"\r\n")
        its = cgroup_of(run["pid"])
        assert one.output["vm"].decode().split() == [f"0::/{its.relative_to(ROOT)}"]
        files = ("memory.max", "memory.oom.group", "cpu.max", "pids.max")
        assert [(its.parent / file).read_text().split() for file in files] == [
            [str(64 * MIB)], ["1"], ["50000", "100000"], ["20"],
        ]  # fmt: skip
        with pytest.raises(FileNotFoundError):
            await one.spawn("other", "/no/such/program", **group("other"))
        assert below(top) == [its.parent.name], "what could not be started leaves no cgroup"
        await one.ask("signal", id="vm", generation=1, number=signal.SIGKILL)
        assert await one.ended("vm") == -signal.SIGKILL
        assert below(top) == []
        assert (await one.ask("list"))["runs"][0]["out_of_memory"] is None

    talk(place, test)


def test_a_program_that_needs_more_memory_ends_with_all_that_it_has_started_and_says_so(place: Path) -> None:
    async def test(one: Talk) -> None:
        await one.spawn("vm", SH, "-c", GREEDY, environment={"PATH": "/bin"}, **group(memory=32 * MIB))
        assert await one.ended("vm") == -signal.SIGKILL
        assert b"survived" not in one.output["vm"]
        child = int(one.output["vm"].split(b"child ")[1].split()[0])
        assert not alive(child)
        assert (await one.ask("list"))["runs"][0]["out_of_memory"] == 32 * MIB

    talk(place, test)


def test_the_runs_of_a_group_share_what_it_may_have(place: Path) -> None:
    """As the program of a VM and its companions do."""
    eats = EATS.replace("50", "20")

    async def test(one: Talk) -> None:
        limits = group(memory=32 * MIB)
        await one.spawn("vm:tpm", SH, "-c", eats, environment={"PATH": "/bin"}, **limits)
        await one.printed("vm:tpm", b"%d" % (20 * MIB))
        await one.spawn("vm", SH, "-c", eats, environment={"PATH": "/bin"}, **limits)
        assert await one.ended("vm") == await one.ended("vm:tpm") == -signal.SIGKILL

    talk(place, test)


def test_a_program_starts_as_many_processes_as_it_may_and_no_more(place: Path) -> None:
    script = """
import os, time
for number in range(99):
    try:
        if not os.fork(): time.sleep(1000)
    except OSError as error:
        print(number, error.strerror, flush=True)
        break
input()
"""

    async def test(one: Talk) -> None:
        run = await one.spawn("vm", sys.executable, "-IS", "-c", script, **group(processes=5))
        await one.printed("vm", b"unavailable")
        assert b"4 Resource temporarily unavailable" in one.output["vm"]
        assert (cgroup_of(run["pid"]).parent / "pids.max").read_text() == "5\n"
        await one.spawn("alone", "/bin/cat", **group("alone", processes=1))

    talk(place, test)


def test_a_busy_program_gets_no_more_time_of_processors_than_it_may(place: Path) -> None:
    """Compared with one that may have all: how fast time passes in a guest is up to its host."""

    async def test(one: Talk) -> None:
        stats = []
        for name, processors in (("vm", 0.1), ("free", None)):
            run = await one.spawn(name, SH, "-c", "while :; do :; done", **group(name, processors=processors))
            stats.append(cgroup_of(run["pid"]).parent / "cpu.stat")
        while True:
            await asyncio.sleep(0.1)
            limited, free = (dict(line.split() for line in stat.read_text().splitlines()) for stat in stats)
            if int(free["usage_usec"]) > 1_500_000:
                break
        assert 0 < int(limited["usage_usec"]) < 0.6 * int(free["usage_usec"])
        assert int(limited["nr_throttled"]) > 2

    talk(place, test)


def test_what_changes_session_and_environment_and_loses_its_parent_ends_with_its_run(place: Path) -> None:
    """Nothing but a cgroup finds it while other programs run."""
    hides = "echo hidden $(env -i setsid setsid sh -c 'sleep 1000 >&- & echo $!; exec >&-; sleep 1000' &); read x"

    async def test(one: Talk) -> None:
        await one.spawn("other", SH, "-c", "read x", **group("other"))
        await one.spawn("vm", SH, "-c", hides, environment={"PATH": "/bin"}, **group())
        await one.printed("vm", b"\n")
        hidden = int(one.output["vm"].split(b"hidden ")[1].split()[0])
        assert alive(hidden)
        one.connection.tell("write", b"\n", id="vm", generation=1)
        await one.ended("vm")
        assert not alive(hidden)

    talk(place, test)


@pytest.mark.parametrize("how", ["the next keeper", "labplane gc"])
def test_what_a_killed_keeper_leaves_is_ended_and_its_cgroups_removed_by(
    how: str, service: Path, tmp_path: Path
) -> None:
    place = tmp_path / "keeper"
    pids: list[int] = []
    top = Path()

    async def start(one: Talk) -> None:
        nonlocal top
        top = Path((await one.ask("groups"))["top"])
        hides = (
            "(env -i setsid sh -c 'echo $$; sleep 1000; sleep 1000' &); trap '' HUP TERM; while :; do sleep 0.1; done"
        )
        pids.append((await one.spawn("vm", SH, "-c", hides, environment={"PATH": "/bin"}, **group()))["pid"])
        await one.printed("vm", b"\n")
        pids.append(int(one.output["vm"].split()[0]))

    with kept(place) as keeper:
        talk(place, start)
        os.kill(keeper, signal.SIGKILL)
        os.waitpid(keeper, 0)
        assert all(map(alive, pids))
        assert below(top)
        if how == "labplane gc":
            end_all(place)
        else:
            with kept(place):
                assert not any(map(alive, pids))
    for pid in pids:
        gone(pid)
    assert not top.exists()


def test_limits_and_cgroups_outlast_an_upgrade_of_the_keeper_in_place(service: Path, place: Path) -> None:
    async def before(one: Talk) -> None:
        await one.spawn("vm", SH, "-c", f"read x; {GREEDY}", environment={"PATH": "/bin"}, **group(memory=32 * MIB))
        archive = starting.archive()
        await one.ask("upgrade", b"", [archive], python=sys.executable, file=0)
        os.close(archive)
        await one.lost()

    async def after(one: Talk) -> None:
        assert Path((await one.ask("groups"))["top"]).parent == service
        reading: dict[str, Any] = {"id": "vm", "generation": 1, "from": 0}
        await one.ask("read", **reading)
        one.connection.tell("write", b"\n", id="vm", generation=1)
        assert await one.ended("vm") == -signal.SIGKILL
        assert (await one.ask("list"))["runs"][0]["out_of_memory"] == 32 * MIB
        await one.spawn("vm", SH, "-c", "cat /proc/self/cgroup; read x", generation=2, **group())
        await one.printed("vm", b"/run-vm/")

    talk(place, before)
    talk(place, after)


ASKS = """
import sys
from pathlib import Path
from labplane.keeper.starting import start
from labplane_keeper.visiting import visiting
start(Path(sys.argv[1]), 60, False)
with visiting(sys.argv[1]) as keeper:
    found = keeper.ask("groups")
    its = open(f"/proc/{keeper.hello['pid']}/cgroup").read().strip()
    print(found["top"], found["reason"], its, sep="|")
    keeper.ask("quit", patience=0)
    keeper.until_gone()
"""


def asked_by_nobody(cgroup: Path, place: Path) -> list[str]:
    """Where a keeper has its groups that another user starts in this cgroup, why not, and where it is then."""

    def become() -> None:
        enter(cgroup)
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)

    os.chown(place, 65534, 65534)
    for parent in place.parents[:3]:
        parent.chmod(0o755)
    environment = {"PYTHONPATH": str(Path(labplane_keeper.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-SB", "-c", ASKS, str(place / "kept")],
        preexec_fn=become, capture_output=True, text=True, env=environment, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().split("|")


@pytest.mark.parametrize("case", ["delegated", "not delegated", "with others"])
def test_another_user_has_cgroups_where_its_own_is_delegated_and_empty_of_others(case: str, tmp_path: Path) -> None:
    cgroup = delegated(case.replace(" ", "-"))
    if case != "not delegated":
        for name in ("", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"):
            os.chown(cgroup / name, 65534, 65534)
    with subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE) as stranger:
        if case == "with others":
            (cgroup / "cgroup.procs").write_text(str(stranger.pid))
        top, reason, its = asked_by_nobody(cgroup, tmp_path)
        stranger.communicate()
    if case == "delegated":
        assert (Path(top).parent, reason, its) == (cgroup, "", f"0::/{case}/{OWN}")
    else:
        assert (top, its) == ("", f"0::/{cgroup.name}")
        words = "is not delegated" if case == "not delegated" else f"other processes are in the cgroup {cgroup}: "
        assert words in reason
        assert below(cgroup) == []


DRIVER = """
from labplane import Limits, Plugin, ProcessDriver, hook

class Eater(ProcessDriver):
    kind = "eater"

    def command(self, vm):
        eats = "while [ ! -e eat ]; do sleep 0.1; done; b=x; while :; do b=$b$b; done"
        return ["/bin/sh", "-c", eats]

    def limits(self, vm):
        return Limits(memory=1 << 40, processes=50)

class Eaters(Plugin):
    @hook
    def drivers(self):
        return [Eater(self.lab)]
"""
CONFIG = """
port = 8123
projects_dir = "{place}/projects"
plugins_dir = "{place}/plugins"
only_plugins = ["projects", "eaters"]
on_exit = "keep"
max_vm_resident = 67_108_864
"""


class Server:
    """`labplane serve` with a driver whose VMs eat memory when they are told to."""

    def __init__(self, place: Path) -> None:
        self.place, self.cgroup = place, delegated("server")
        (place / "plugins").mkdir()
        (place / "plugins" / "eaters.py").write_text(DRIVER)
        (place / "lab.toml").write_text(CONFIG.format(place=place))
        self.start()

    def start(self) -> None:
        words = [LABPLANE, "serve", "--config", str(self.place / "lab.toml")]
        own = self.cgroup / OWN if (self.cgroup / OWN).exists() else self.cgroup  # as systemd's DelegateSubgroup does
        with (self.place / "log").open("a") as log:
            self.process = subprocess.Popen(words, stderr=log, preexec_fn=lambda: enter(own))

    def ask(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """The reply; waits until the server is up."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:8123/v1{path}", data)
        for _ in range(600):
            try:
                with urllib.request.urlopen(request) as reply:  # noqa: S310
                    return json.loads(reply.read() or "null")
            except urllib.error.HTTPError as error:
                pytest.fail(error.read().decode())
            except urllib.error.URLError:
                time.sleep(0.1)
        return pytest.fail("it does not answer: " + (self.place / "log").read_text())

    def until_logged(self, words: str) -> None:
        end = time.monotonic() + 180
        while words not in (self.place / "log").read_text():
            assert time.monotonic() < end, (self.place / "log").read_text()
            time.sleep(0.1)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """It takes long to start, so it does that while other tests run."""
    place = tmp_path_factory.mktemp("server")
    server = Server(place)
    yield server
    server.process.kill()
    server.process.wait()


def test_limits_of_vms_outlast_their_server_which_tells_why_they_end_and_gc_leaves_nothing(
    server: Server,
) -> None:
    project = server.ask("/projects", {})
    vms = f"/projects/{project['project_id']}/eater/vms"
    vm = server.ask(vms, {"name": "PC"})
    server.until_logged("what VMs use can be limited: memory, processors, processes")
    server.ask(f"{vms}/{vm['vm_id']}/start", {})
    (group,) = server.cgroup.glob(f"labplane-*/run-{vm['vm_id']}")
    limits = [str(64 * MIB), "50"]
    assert [(group / name).read_text().strip() for name in ("memory.max", "pids.max")] == limits, "the stricter"
    server.process.kill()
    server.process.wait()
    server.start()
    assert server.ask(f"{vms}/{vm['vm_id']}")["status"] == "started"
    assert [(group / name).read_text().strip() for name in ("memory.max", "pids.max")] == limits
    (Path(vm["vm_directory"]) / "eat").touch()
    server.until_logged("It was ended: out of the memory of 64 MiB that it may use.")
    assert not group.exists()
    (Path(vm["vm_directory"]) / "eat").unlink()
    server.ask(f"{vms}/{vm['vm_id']}/start", {})
    assert group.exists()
    server.process.terminate()
    server.process.wait()
    assert group.exists()
    subprocess.run([LABPLANE, "gc", "--config", str(server.place / "lab.toml")], check=True)
    assert not group.parent.exists()
