"""What outlasts whom: runs their server, a keeper its upgrade, what is known of an end its keeper."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import labplane_keeper
from children import SH, alive, gone
from keepers import connected, end, kept
from labplane.emulators.terminals import Process, Terminals
from labplane.keeper import client, connection, starting
from labplane.keeper.client import Keeper
from labplane_keeper.clients import HEAD
from labplane_keeper.visiting import end_all, runs
from support import until

RELEASED = sorted((Path(__file__).parent / "released").glob("*.pyz"))
STUBBORN = "trap '' HUP TERM; echo up; while :; do /bin/sleep 0.1; done"


class Run:
    """A process of a server of the test's own, with what it printed."""

    process: Process

    def __init__(self) -> None:
        self.output = b""
        self.ends: list[int] = []

    async def started(self, terminals: Terminals, cwd: Path, script: str, **more: Any) -> "Run":
        self.process = await terminals.spawn(
            [SH, "-c", script], cwd=cwd, on_output=self.printed, on_exit=self.ends.append, **more
        )
        return self

    def printed(self, data: bytes) -> None:
        self.output += data

    async def until(self, words: bytes) -> None:
        async with asyncio.timeout(20):
            while words not in self.output:
                await asyncio.sleep(0.002)


@contextmanager
def released(archive: Path, directory: Path) -> Iterator[int]:
    """A keeper that was released earlier, as it was then; its pid."""
    directory.mkdir(mode=0o700)
    command = [sys.executable, "-IS", str(archive), str(directory), "60", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        try:
            yield process.pid
        finally:
            end(directory, process.pid)
            process.returncode = 0  # `end` has reaped it


def test_when_the_keeper_is_killed_its_programs_end_their_server_knows_and_starts_them_again(tmp_path: Path) -> None:
    async def main() -> None:
        terminals = Terminals(tmp_path / "kept")
        try:
            heeds = await Run().started(terminals, tmp_path, "echo up; read x")
            stubborn = await Run().started(terminals, tmp_path, STUBBORN)
            await stubborn.until(b"up")
            os.kill(terminals.keeper.hello["pid"], signal.SIGKILL)
            for one in (heeds, stubborn):
                assert await asyncio.wait_for(one.process.wait(), 10) == -signal.SIGHUP
                assert one.process.lost
                assert one.ends == [-signal.SIGHUP]
                await asyncio.to_thread(gone, one.process.pid)
            again = await Run().started(terminals, tmp_path, "echo up; read x")
            await again.until(b"up")
        finally:
            await terminals.end()

    asyncio.run(main())


def test_a_keeper_is_asked_once_for_what_it_can_limit_and_the_next_one_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    ask = Keeper.ask

    async def noted(keeper: Keeper, op: str, *more: Any, **members: Any) -> dict[str, Any]:
        asked.append(op)
        return await ask(keeper, op, *more, **members)

    async def main() -> None:
        monkeypatch.setattr(Keeper, "ask", noted)
        terminals = Terminals(tmp_path / "kept")
        try:
            first = await terminals.limiting()
            assert await terminals.limiting() is first
            assert asked == ["groups"]
            killed = terminals.keeper.hello["pid"]
            os.kill(killed, signal.SIGKILL)
            async with asyncio.timeout(20):
                while terminals.keeper.hello:
                    await asyncio.sleep(0.002)
            assert await terminals.limiting() == first
            assert asked == ["groups", "groups"]
            assert terminals.keeper.hello["pid"] != killed
        finally:
            await terminals.end()

    asyncio.run(main())


def test_what_a_killed_keeper_left_behind_a_killed_server_is_ended_by_the_next_keeper(tmp_path: Path) -> None:
    place = tmp_path / "kept"

    async def main() -> int:
        async with connected(place) as one:
            pid: int = (await one.spawn("a", SH, "-c", STUBBORN))["pid"]
            await one.printed("a", b"up")
            return pid

    with kept(place) as keeper:
        pid = asyncio.run(main())
        os.kill(keeper, signal.SIGKILL)
        os.waitpid(keeper, 0)
        assert alive(pid)
        assert [run["pid"] for run in runs(place)] == [pid]
        with kept(place):
            gone(pid)
    assert runs(place) == []


@pytest.mark.parametrize("keeper", [True, False], ids=["with a keeper", "without one"])
def test_all_that_was_started_for_a_directory_can_be_ended_without_a_server(keeper: bool, tmp_path: Path) -> None:
    place = tmp_path / "kept"

    async def main() -> list[int]:
        async with connected(place) as one:
            return [(await one.spawn(name, SH, "-c", STUBBORN))["pid"] for name in ("a", "b")]

    other = subprocess.Popen([SH, "-c", "read x"], stdin=subprocess.PIPE, cwd=tmp_path, start_new_session=True)
    try:
        with kept(place) as pid:
            pids = asyncio.run(main())
            if not keeper:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            assert sorted(run["pid"] for run in end_all(place, 0.2)) == sorted(pids)
            for one in pids:
                gone(one)
            assert end_all(place) == []
        assert other.poll() is None, "it was not started for the directory"
    finally:
        other.communicate()
    assert end_all(tmp_path / "nowhere") == []


def test_it_ends_itself_when_nothing_runs_and_no_server_is_there_and_what_it_knew_is_kept(tmp_path: Path) -> None:
    place = tmp_path / "kept"

    async def main() -> None:
        async with connected(place) as one:
            await one.spawn("a", SH, "-c", "echo last words; exit 7", note={"kind": "x"})
            await one.ended("a")

    async def later() -> None:
        async with connected(place) as one:
            (run,) = (await one.ask("list"))["runs"]
            assert (run["id"], run["status"], run["note"]) == ("a", 7, {"kind": "x"})
            reading: dict[str, Any] = {"id": "a", "generation": 1, "from": 0}
            await one.ask("read", **reading)
            assert await one.ended("a") == 7
            assert one.output["a"] == b"last words\r\n"

    with kept(place, linger=0.1) as pid:
        asyncio.run(main())
        gone(pid)
        assert not (place / "socket").exists()
    with kept(place):
        asyncio.run(later())


def test_a_visitor_is_no_server_and_a_running_program_keeps_it(tmp_path: Path) -> None:
    place = tmp_path / "kept"

    async def main(pid: int) -> None:
        async with connected(place, "visitor") as visitor:
            async with connected(place) as one:
                await one.spawn("a", SH, "-c", "read x")
            await asyncio.sleep(0.3)
            assert alive(pid), "something runs"
            await visitor.ask("signal", id="a", generation=1, number=signal.SIGKILL)
            await visitor.lost()

    with kept(place, linger=0.1) as pid:
        asyncio.run(main(pid))


@pytest.mark.parametrize("archive", RELEASED, ids=lambda path: path.stem)
def test_a_released_keeper_is_upgraded_in_place_while_its_programs_run_and_print(archive: Path, tmp_path: Path) -> None:
    place = tmp_path / "kept"
    count = "i=0; while [ $i -lt 100000 ]; do echo $i; i=$((i+1)); sleep 0.01; done"

    async def before() -> tuple[dict[str, int], int]:
        async with connected(place) as one:
            log = {"directory": 0, "name": "0.log", "limit": 100000}
            pids = {}
            for name in map(str, range(20)):
                more: dict[str, Any] = {"log": log} if name == "0" else {}
                pids[name] = (await one.spawn(name, SH, "-c", count, cwd=tmp_path, **more))["pid"]
            await one.printed("19", b"5\r\n")
            return pids, len(one.output["0"])

    async def after(pids: dict[str, int], seen: int) -> None:
        keeper = Keeper(place)
        run = Run()
        follower: Any = type("Follower", (), {"printed": run.printed, "ended": run.ends.append, "complained": print})
        try:
            assert await keeper.find()
            assert keeper.hello["version"] == labplane_keeper.VERSION
            there = (await keeper.ask("list"))["runs"]
            assert {one["id"]: one["pid"] for one in there} == pids
            assert [one["status"] for one in there] == [None] * 20
            (first,) = (one for one in there if one["id"] == "0")
            keeper.follow(first, follower, seen)
            reading: dict[str, Any] = {"id": "0", "generation": 1, "from": seen}
            await keeper.ask("read", **reading)
            await run.until(b"\r\n60\r\n")
            whole = b"".join(b"%d\r\n" % number for number in range(100000))
            assert whole[seen:].startswith(run.output), "not one byte is lost or comes twice"
            assert (tmp_path / "0.log").read_bytes().startswith(whole[: seen + len(run.output)])
            await keeper.ask("signal", id="3", generation=1, number=signal.SIGKILL)
            while (await keeper.ask("list"))["runs"][3]["status"] is None:
                await asyncio.sleep(0.005)
        finally:
            keeper.close()

    with released(archive, place) as pid:
        pids, seen = asyncio.run(before())
        asyncio.run(after(pids, seen))
        assert alive(pid)
        status = Path(f"/proc/{pid}/fd")
        assert len([1 for one in status.iterdir() if "pidfd" in os.readlink(one) or "memfd" in os.readlink(one)]) == 0


def altered(tmp_path: Path, **constants: int) -> Path:
    """A keeper that is as this one but for these constants."""
    path = tmp_path / "altered.pyz"
    text = Path(labplane_keeper.__file__).read_text()
    for name, value in constants.items():
        text = text.replace(f"\n{name} = {getattr(labplane_keeper, name)}\n", f"\n{name} = {value}\n")
    folder = Path(labplane_keeper.__file__).parent
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(folder / "__main__.py", "__main__.py")
        for file in folder.glob("*.py"):
            archive.write(file, f"labplane_keeper/{file.name}") if file.name != "__init__.py" else None
        archive.writestr("labplane_keeper/__init__.py", text)
    return path


@pytest.mark.parametrize("newer", ["another schema", "broken"])
def test_a_keeper_that_the_newer_one_cannot_go_on_from_stays(newer: str, tmp_path: Path) -> None:
    place = tmp_path / "kept"
    if newer == "broken":
        path = tmp_path / "broken.py"
        path.write_text("this is no program")
    else:
        path = altered(tmp_path, SCHEMA=99)

    async def main() -> None:
        async with connected(place) as one:
            run = await one.spawn("a", SH, "-c", "read x; echo got $x; read x")
            file = os.open(path, os.O_RDONLY)
            try:
                with pytest.raises(OSError, match="cannot go on from the state of this one"):
                    await one.ask("upgrade", b"", [file], python=sys.executable, file=0)
            finally:
                os.close(file)
            one.connection.tell("write", b"it\n", id="a", generation=1)
            await one.printed("a", b"got it")
            assert (await one.ask("list"))["runs"][0]["pid"] == run["pid"]

    with kept(place):
        asyncio.run(main())


def test_a_server_goes_on_with_a_newer_keeper_and_with_one_that_refuses_its_program(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The server of before comes back, say; or the keeper that runs is of another schema."""
    for number, constants in enumerate(({"VERSION": 99}, {"VERSION": 0, "SCHEMA": 99})):
        place = tmp_path / str(number)
        with released(altered(tmp_path, **constants), place):

            async def main(place: Path = place) -> None:
                terminals = Terminals(place)
                one = await Run().started(terminals, tmp_path, "echo up; read x")
                await one.until(b"up")
                assert terminals.keeper.hello["version"] in (99, 0)
                await terminals.end()

            asyncio.run(main())
    assert "cannot go on from the state of this one" in caplog.text


def test_programs_of_a_server_run_on_through_an_upgrade_of_the_keeper_and_it_notices_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "kept"

    async def main() -> None:
        terminals = Terminals(place)
        one = await Run().started(terminals, tmp_path, "while read x; do echo got $x; done")
        archive = starting.archive()
        visitor = Keeper(place)
        monkeypatch.setattr(client, "VERSION", 99)
        await visitor.find()
        monkeypatch.undo()
        visitor.close()
        os.close(archive)
        for number in range(100):
            one.process.write(b"%d\n" % number)
            await asyncio.sleep(0.001)
        one.process.write(b"the last\n")
        await one.until(b"got the last")
        assert one.ends == []
        other = await Run().started(terminals, tmp_path, "exit 4")
        assert await other.process.wait() == 4
        await terminals.end()

    with kept(place):
        asyncio.run(main())


def test_a_server_says_so_when_the_keeper_speaks_no_protocol_that_it_knows(tmp_path: Path) -> None:
    place = tmp_path / "kept"
    place.mkdir(mode=0o700)
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(place / "socket"))
    listening.listen()

    async def main() -> None:
        keeper = Keeper(place)
        asking = asyncio.ensure_future(keeper.ask("list"))
        there, _ = await asyncio.to_thread(listening.accept)
        with there:
            hello = b'{"hello": "keeper", "protocol": 9, "oldest": 8, "version": 9, "pid": 1, "instance": "x"}'
            there.sendall(HEAD.pack(len(hello), 0) + hello)
            with pytest.raises(ConnectionError, match="speaks protocols 8 to 9, this labplane 1 to 1"):
                await asking
        keeper.close()

    with listening:
        asyncio.run(main())


def test_a_server_does_not_wait_for_a_keeper_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "ANSWERS_WITHIN", 0.2)
    place = tmp_path / "kept"

    async def main() -> None:
        keeper = Keeper(place)
        with pytest.raises(ConnectionError, match="has not answered for"):
            await keeper.find()
        keeper.close()

    with kept(place) as pid:
        os.kill(pid, signal.SIGSTOP)
        try:
            asyncio.run(main())
        finally:
            os.kill(pid, signal.SIGCONT)


def test_a_keeper_of_its_own_ends_with_the_process_that_started_it_and_leaves_no_file(tmp_path: Path) -> None:
    program = (
        "import asyncio, tempfile\n"
        "from pathlib import Path\n"
        "from labplane.emulators.terminals import Terminals\n"
        "async def main():\n"
        "    one = Terminals()\n"
        "    process = await one.spawn(['/bin/cat'], cwd=Path('/'), on_output=print, on_exit=print)\n"
        "    print(process.pid, one.keeper.hello['pid'], flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, env=environment) as server:
        assert server.stdout is not None
        pids = list(map(int, server.stdout.readline().split()))
        assert all(map(alive, pids))
        server.kill()
    for pid in pids:
        gone(pid)
    until(lambda: not list(tmp_path.iterdir()), "the end of its directory")


def test_a_keeper_that_differs_from_the_released_one_has_a_higher_version() -> None:
    """Or servers would leave the older one as it is. A release adds a copy of its keeper to `released`."""
    folder = Path(labplane_keeper.__file__).parent
    own = {f"labplane_keeper/{file.name}": file.read_bytes() for file in folder.glob("*.py")}
    with zipfile.ZipFile(RELEASED[-1]) as archive:
        was = {name: archive.read(name) for name in archive.namelist() if name != "__main__.py"}
    version = int(RELEASED[-1].stem.rpartition("-")[2])
    assert own == was if version == labplane_keeper.VERSION else version < labplane_keeper.VERSION
