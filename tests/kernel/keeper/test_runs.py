"""What the keeper does for its clients: runs, their output by offset, their input, their ends."""

import asyncio
import os
import re
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from children import SH, alive, gone
from keepers import Talk, connected, kept
from labplane.keeper import starting
from labplane_keeper.clients import HEAD
from labplane_keeper.visiting import end_all, start_time
from support import until

Test = Callable[[Talk], Awaitable[None]]


def has_capability(number: int) -> bool:
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapEff"))
    return bool(int(line.split()[1], 16) & 1 << number)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """The directory of a keeper that runs, longer than the path of a socket may be."""
    directory = tmp_path / ("d" * 100) / "keeper"
    with kept(directory):
        yield directory


def talk(place: Path, test: Test) -> None:
    async def main() -> None:
        async with connected(place) as one, asyncio.timeout(30):
            await test(one)

    asyncio.run(main())


def test_a_run_is_started_prints_reads_and_ends(place: Path) -> None:
    async def test(one: Talk) -> None:
        run = await one.spawn("a", SH, "-c", "echo up; read word; echo got $word; exit 3", note={"kind": "x"})
        assert alive(run["pid"])
        assert run["started"] == start_time(run["pid"])
        assert os.getsid(run["pid"]) == run["pid"]
        await one.printed("a", b"up")
        one.connection.tell("write", b"this\n", id="a", generation=1)
        assert await one.ended("a") == 3
        assert b"got this" in one.output["a"]
        (shown,) = (await one.ask("list"))["runs"]
        assert (shown["status"], shown["note"], shown["end"]) == (3, {"kind": "x"}, len(one.output["a"]))
        await one.ask("forget", id="a", generation=1)
        assert (await one.ask("list"))["runs"] == []

    talk(place, test)


def test_output_is_numbered_and_each_byte_of_it_comes_once_over_the_deaths_of_its_readers(place: Path) -> None:
    """A console across a server's death equals, byte for byte, one without it."""
    script = "i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done; read end"
    expected = b"".join(b"line %d\r\n" % number for number in range(3000))

    async def main() -> bytes:
        seen = b""
        async with connected(place) as one:
            await one.spawn("a", SH, "-c", script, ring=1024 * 1024)
            await one.printed("a", b"line 5\r\n")
        seen += one.output["a"]
        while len(seen) < len(expected):
            async with connected(place) as one:
                one.connection.tell("read", **{"id": "a", "generation": 1, "from": len(seen)})  # type: ignore[arg-type]
                await one.until(lambda: one.output.get("a"))
            assert one.offsets[0][1] == len(seen)
            seen += one.output["a"]
        return seen

    assert asyncio.run(main()) == expected


def test_what_nobody_reads_is_drained_and_the_latest_of_it_remembered(place: Path) -> None:
    async def main() -> None:
        async with connected(place) as one:
            await one.spawn("a", SH, "-c", "head -c 300000 /dev/zero | tr '\\0' x; echo end; read x", ring=4096)
        async with connected(place) as one:
            while (run := (await one.ask("list"))["runs"][0])["end"] < 300005:
                await asyncio.sleep(0.005)
            assert run["end"] - run["begin"] == 4096
            await one.ask("read", **{"id": "a", "generation": 1, "from": 0})
            await one.printed("a", b"end\r\n")
            assert one.offsets[0][1] == run["begin"]
            assert len(one.output["a"]) == 4096

    asyncio.run(main())


def test_a_client_that_reads_loses_nothing_however_much_is_printed(place: Path) -> None:
    async def test(one: Talk) -> None:
        await one.spawn("a", SH, "-c", "head -c 3000000 /dev/zero | tr '\\0' x; echo end", ring=4096)
        await one.ended("a")
        assert len(one.output["a"]) == 3000005

    talk(place, test)


def test_a_client_that_hangs_holds_up_nobody(place: Path) -> None:
    """It neither reads nor goes, as a server that was stopped with SIGSTOP."""

    async def main() -> None:
        hung = starting.connected(place)
        hello = b'{"hello": "server", "protocol": 1}'
        hung.send(HEAD.pack(len(hello), 0) + hello)
        try:
            async with connected(place) as one, asyncio.timeout(60):
                run = await one.spawn("a", SH, "-c", "while read x; do head -c 300000 /dev/zero; done", read=False)
                read = b'{"op": "read", "id": "a", "generation": 1, "from": 0}'
                hung.send(HEAD.pack(len(read), 0) + read)
                for _ in range(3):
                    one.connection.tell("write", b"\n", id="a", generation=run["generation"])
                while (await one.ask("list"))["runs"][0]["end"] < 900_000:
                    await asyncio.sleep(0.01)
        finally:
            hung.close()

    asyncio.run(main())


def test_a_run_is_started_once_however_often_it_is_asked_for(place: Path) -> None:
    async def test(one: Talk) -> None:
        asked = [one.spawn("a", SH, "-c", "read x", generation=5) for _ in range(1)]
        (first,) = await asyncio.gather(*asked)
        again = await one.spawn("a", SH, "-c", "read x", generation=5)
        assert again["pid"] == first["pid"]
        for other in (4, 6):
            with pytest.raises(FileExistsError):
                await one.spawn("a", SH, "-c", "read x", generation=other)
        await one.ask("signal", id="a", generation=5, number=signal.SIGKILL)
        assert await one.ended("a") == -signal.SIGKILL
        assert (await one.spawn("a", SH, generation=5))["status"] == -signal.SIGKILL, "ended, and still known"
        assert (await one.spawn("a", SH, "-c", "read x", generation=6))["status"] is None

    talk(place, test)


def test_a_start_whose_client_dies_before_the_reply_is_one_run_for_the_next_client(place: Path) -> None:
    async def dies() -> None:
        async with connected(place) as one:
            starting_it = asyncio.ensure_future(one.spawn("a", SH, "-c", "read x", generation=5))
            await asyncio.sleep(0)
            starting_it.cancel()

    async def asks_again() -> None:
        async with connected(place) as one:
            while not (there := (await one.ask("list"))["runs"]):
                await asyncio.sleep(0.002)
            again = await one.spawn("a", SH, "-c", "read x", generation=5)
            assert [run["pid"] for run in there] == [again["pid"]]
            assert len((await one.ask("list"))["runs"]) == 1

    asyncio.run(dies())
    asyncio.run(asks_again())


@pytest.mark.skipif(not has_capability(24), reason="lowering the score takes CAP_SYS_RESOURCE")
def test_the_system_ends_emulators_before_the_keeper_when_memory_is_short(place: Path) -> None:
    async def test(one: Talk) -> None:
        run = await one.spawn("a", SH, "-c", "read x")
        scores = [int(Path(f"/proc/{pid}/oom_score_adj").read_text()) for pid in ("self", run["pid"])]
        assert scores[0] == scores[1]
        assert int(Path(f"/proc/{one.connection.hello['pid']}/oom_score_adj").read_text()) == -900

    talk(place, test)


def test_a_run_that_is_to_end_is_killed_when_it_does_not_although_its_client_is_gone(place: Path) -> None:
    async def main() -> int:
        async with connected(place) as one:
            pid: int = (await one.spawn("a", SH, "-c", "trap '' TERM; echo up; while :; do sleep 0.1; done"))["pid"]
            await one.printed("a", b"up")
            await one.ask("end", id="a", generation=1, patience=0.2)
        return pid

    gone(asyncio.run(main()))


def test_a_program_that_cannot_be_started_is_an_error_and_leaves_nothing(place: Path) -> None:
    async def test(one: Talk) -> None:
        with pytest.raises(FileNotFoundError):
            await one.spawn("a", "/no/such/program")
        with pytest.raises(OSError, match="KeyError: 'ring'"):
            await one.ask("spawn", id="a", generation=1)
        with pytest.raises(OSError, match="does not know 'fly'"):
            await one.ask("fly")
        with pytest.raises(ProcessLookupError):
            await one.ask("signal", id="a", generation=1, number=9)
        assert (await one.ask("list"))["runs"] == []

    talk(place, test)


def test_a_start_for_which_there_is_no_thread_is_refused_and_later_ones_are_not(place: Path) -> None:
    async def test(one: Talk) -> None:
        pid = one.connection.hello["pid"]
        size = int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * resource.getpagesize()
        size += 64 * 1024  # for the request itself; the stack of a thread takes more
        before = resource.prlimit(pid, resource.RLIMIT_AS, (size, resource.RLIM_INFINITY))
        with pytest.raises(OSError, match="Resource temporarily unavailable"):
            await one.spawn("a", SH, "-c", "read x")
        resource.prlimit(pid, resource.RLIMIT_AS, before)
        assert (await one.ask("list"))["runs"] == []
        await one.spawn("a", SH, "-c", "exit 3")
        assert await one.ended("a") == 3

    talk(place, test)


def test_descriptors_are_inherited_at_their_numbers(place: Path) -> None:
    async def test(one: Talk) -> None:
        ours, theirs = socket.socketpair()
        reading, writing = os.pipe()
        with ours, theirs:
            ours.sendall(b"through the socket\n")
            script = "read line <&4; echo $line; echo through the pipe >&3; ls /proc/self/fd; echo; echo over"
            given: dict[str, Any] = {"descriptors": (writing, theirs.fileno()), "inherit": [[1, 3], [2, 4]]}
            await one.spawn("a", SH, "-c", script, environment={"PATH": "/usr/bin:/bin"}, **given)
            await one.ended("a")
        os.close(writing)
        assert os.read(reading, 100) == b"through the pipe\n"
        os.close(reading)
        first, *numbers = one.output["a"].split(b"\r\n\r\n")[0].split(b"\r\n")
        assert first == b"through the socket"
        assert len(b" ".join(numbers).split()) == 6, "0 to 4, and that of ls"

    talk(place, test)


def test_the_log_has_all_that_is_printed_and_stays_within_bounds(place: Path, tmp_path: Path) -> None:
    async def test(one: Talk) -> None:
        log = {"directory": 0, "name": "a.log", "limit": 20000}
        (tmp_path / "a.log").write_text("an earlier run")
        await one.spawn("a", SH, "-c", "echo hello", cwd=tmp_path, log=log)
        await one.ended("a")
        assert (tmp_path / "a.log").read_bytes() == b"hello\r\n"
        (tmp_path / "a.log").unlink()
        (tmp_path / "a.log").symlink_to(tmp_path / "victim")
        script = "head -c 50000 /dev/zero | tr '\\0' x; echo end"
        await one.spawn("b", SH, "-c", script, cwd=tmp_path, log=log)
        await one.ended("b")
        assert not (tmp_path / "victim").exists()
        both = (tmp_path / "a.log.1").read_bytes() + (tmp_path / "a.log").read_bytes()
        assert 5000 < len(both) <= 20000
        assert one.output["b"].endswith(both)
        os.mkfifo(tmp_path / "pipe")
        await one.spawn("c", SH, "-c", "echo hello", cwd=tmp_path, log={**log, "name": "pipe"})
        assert await one.ended("c") == 0
        assert one.complaints == ["pipe is not written: No such device or address"]

    talk(place, test)


def test_what_a_program_leaves_behind_is_reaped(place: Path) -> None:
    """The keeper is a subreaper: nothing becomes a child of the first process."""

    async def test(one: Talk) -> None:
        await one.spawn("a", SH, "-c", "(setsid sh -c 'sleep 0.2' & echo $!); echo; read x")
        await one.printed("a", b"\r\n")
        pid = int(one.output["a"].split()[0])
        keeper = one.connection.hello["pid"]
        until(lambda: not Path(f"/proc/{pid}").exists(), "the end of the grandchild")
        assert alive(keeper)

    talk(place, test)


JOBS = """
set -m
sleep 1000 & echo job $!
setsid sh -c 'echo job $$; exec sleep 1001' &
(setsid sh -c 'echo job $$; trap "" TERM HUP; while :; do sleep 1002; done' &)
setsid sh -c 'env -i sleep 1003 & echo job $!; wait' &
"""


JOB = re.compile(rb"job (\d+)\r")


@pytest.mark.parametrize("how", ["by itself", "by a signal", "by its keeper", "with its keeper"])
def test_all_that_a_shell_has_started_ends_with_it_and_nothing_of_others(how: str, place: Path) -> None:
    """Jobs have groups of their own, and sessions, or have lost their parent, as daemons have."""
    pids: dict[str, list[int]] = {}

    async def test(one: Talk) -> None:
        for name in ("a", "b"):
            await one.spawn(name, "/bin/bash", "--norc", "-i")
            one.connection.tell("write", JOBS.replace("\n", "\r").encode(), id=name, generation=1)
            await one.until(lambda name=name: len(JOB.findall(one.output.get(name, b""))) == 4)
            pids[name] = [int(pid) for pid in JOB.findall(one.output[name])]
        if how == "by itself":
            one.connection.tell("write", b"disown -a\rexec true\r", id="a", generation=1)
        elif how == "by a signal":
            await one.ask("signal", id="a", generation=1, number=signal.SIGKILL)
        elif how == "by its keeper":
            await one.ask("end", id="a", generation=1, patience=0.1)
        else:
            os.kill(one.connection.hello["pid"], signal.SIGKILL)
            os.waitpid(one.connection.hello["pid"], 0)
            return
        await one.ended("a")
        assert [pid for pid in pids["a"] if alive(pid)] == []
        assert [pid for pid in pids["b"] if not alive(pid)] == []

    talk(place, test)
    end_all(place, 0.0)
    for pid in (*pids["a"], *pids["b"]):
        gone(pid)


def test_bytes_that_are_no_frame_end_their_connection_alone(place: Path) -> None:
    async def test(one: Talk) -> None:
        for garbage in (b"GET / HTTP/1.1\r\n\r\n", HEAD.pack(4, 0) + b"{}{}", HEAD.pack(2, 0) + b"[]"):
            with starting.connected(place) as other:
                other.setblocking(True)
                other.settimeout(20)
                other.sendall(garbage)
                while other.recv(4096):
                    pass
        assert (await one.ask("list"))["runs"] == []

    talk(place, test)


def test_a_program_that_the_keeper_runs_cannot_tell_it_anything(place: Path) -> None:
    """Or a confined emulator could have something started that is not."""
    connect = f"""
import os, socket
at = os.open({str(place)!r}, os.O_PATH)
end = socket.socket(socket.AF_UNIX)
end.connect(f"/proc/self/fd/{{at}}/socket")
print("answered" if end.recv(1) else "hung up", flush=True)
"""
    escaped = f"import os, sys\nif os.fork(): sys.stdin.read()\nos.setsid()\n{connect}"

    async def test(one: Talk) -> None:
        for name, script in (("a", connect), ("b", escaped)):
            await one.spawn(name, sys.executable, "-c", script)
            await one.printed(name, b"hung up")

    talk(place, test)
    outside = subprocess.run([sys.executable, "-c", connect], capture_output=True, text=True, check=True)
    assert outside.stdout == "answered\n"


def test_a_directory_has_one_keeper_and_is_closed_to_others(place: Path) -> None:
    with pytest.raises(ChildProcessError, match="Resource temporarily unavailable"):
        starting.start(place, 60.0, False)
    place.chmod(0o755)
    with pytest.raises(PermissionError, match="0700"):
        starting.connected(place)
    place.chmod(0o700)


def test_it_has_its_own_session_and_inherits_nothing(place: Path) -> None:
    async def test(one: Talk) -> None:
        pid = one.connection.hello["pid"]
        assert os.getsid(pid) == pid
        targets = [os.readlink(f"/proc/{pid}/fd/{number}") for number in os.listdir(f"/proc/{pid}/fd")]
        kinds = sorted(target.split(":")[0] for target in targets)
        own = ["/dev/null", "/dev/null", f"{place}", f"{place}/lock", f"{place}/log", f"{place}/started"]
        assert kinds == sorted([*own, "anon_inode", "pipe", "pipe", "socket", "socket"])
        assert not Path(f"/proc/{pid}/environ").read_bytes()

    talk(place, test)


def test_it_is_small_and_idle_when_there_is_nothing_to_do(place: Path) -> None:
    async def test(one: Talk) -> None:
        for number in range(20):
            await one.spawn(str(number), SH, "-c", "head -c 30000 /dev/zero; read x")
        for number in range(20):
            await one.until(lambda: len(one.output.get(str(number), b"")) >= 30000)  # noqa: B023
        before = await one.ask("status")
        await asyncio.sleep(1.0)
        after = await one.ask("status")
        assert after["runs"] == 20
        assert after["cpu"] - before["cpu"] < 0.005
        assert after["rss"] < 15 * 1024 * 1024 + 20 * 16384

    talk(place, test)
