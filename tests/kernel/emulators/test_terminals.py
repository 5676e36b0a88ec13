"""Real processes on real terminals: what they find, what they read and what they print."""

import asyncio
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from children import SH, child
from labplane.emulators.terminals import NICE
from labplane.server.serving import _prepare_process
from labplane_keeper.runs import MOST_INPUT as INPUT_LIMIT


def said(cwd: Path, run: Callable[[Any], Any], script: str, **more: Any) -> list[str]:
    """The lines that a shell script prints."""

    async def main() -> bytes:
        async with child(cwd, SH, "-c", script, **more) as one:
            await one.wait()
            return one.output

    return run(main()).decode().splitlines()  # type: ignore[no-any-return]


def test_what_is_typed_is_read_and_what_is_printed_is_passed_on(tmp_path: Path, run: Callable[[Any], Any]) -> None:
    async def main() -> None:
        async with child(tmp_path, "/bin/cat", keys=["eof"]) as one:
            one.process.write(b"over\n")
            await one.until(b"over\r\nover\r\n")
            one.process.write(b"\x04")
            assert await one.wait() == 0
            assert one.ends == [0]
            one.process.write(b"too late\n")
            one.process.kill()
            assert await one.process.stop() == 0

    run(main())


def test_a_process_leads_a_session_on_a_controlling_terminal(tmp_path: Path, run: Callable[[Any], Any]) -> None:
    script = (
        'exec 3</dev/tty && echo opened; tty; cut -d" " -f 1,5,6,7 /proc/$$/stat; echo $$;'
        "test -t 0 -a -t 1 -a -t 2; echo $?"
    )
    opened, terminal, stat, pid, are_terminals = said(tmp_path, run, script)
    assert opened == "opened"
    assert terminal.startswith("/dev/pts/")
    assert stat.split()[:3] == [pid, pid, pid], "process, group and session are one"
    assert stat.split()[3] != "0"
    assert are_terminals == "0"


def test_a_process_runs_in_its_directory_and_the_server_stays_in_its_own(
    tmp_path: Path, run: Callable[[Any], Any]
) -> None:
    before = Path.cwd()
    assert said(tmp_path, run, "/bin/pwd") == [str(tmp_path)]
    assert Path.cwd() == before


def test_processes_that_are_started_at_once_each_have_their_own_directory(
    tmp_path: Path, run: Callable[[Any], Any]
) -> None:
    before = Path.cwd()
    directories = [tmp_path / str(number) for number in range(8)]

    async def pwd(directory: Path) -> str:
        directory.mkdir()
        async with child(directory, "/bin/pwd") as one:
            await one.wait()
            return one.output.decode().strip()

    async def main() -> list[str]:
        return await asyncio.gather(*(pwd(directory) for directory in directories))

    assert run(main()) == [str(directory) for directory in directories]
    assert Path.cwd() == before


def test_a_process_finds_a_small_environment_or_exactly_the_one_given(
    tmp_path: Path, run: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "x")
    monkeypatch.setenv("LANG", "C")

    def environment(**more: Any) -> set[str]:
        return {line.split("=")[0] for line in said(tmp_path, run, "exec /usr/bin/env", **more)} - {"PWD", "_"}

    assert environment() == {"PATH", "HOME", "LANG", "TERM", "LABPLANE_RUN"}
    assert environment(environment={"A": "b"}) == {"A", "LABPLANE_RUN"}


def test_a_process_is_handed_a_hundred_descriptors(tmp_path: Path, run: Callable[[Any], Any]) -> None:
    """As many as an emulator has that has one for each of its many network cards."""
    handed = os.open(tmp_path, os.O_RDONLY)
    try:
        found = said(tmp_path, run, "ls /proc/$$/fd | wc -l", inherit=dict.fromkeys(range(3, 103), handed))
    finally:
        os.close(handed)
    assert int(found[-1]) >= 103


def test_a_process_inherits_nothing_but_its_terminal_and_no_blocked_signal(
    tmp_path: Path, run: Callable[[Any], Any]
) -> None:
    """Not even what the server itself inherited from whoever started it."""
    inherited = os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(inherited, True)
    _prepare_process()
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    try:
        lines = said(tmp_path, run, "readlink /proc/$$/fd/*; grep -E '^Sig(Blk|Ign)' /proc/self/status")
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR1])
        os.close(inherited)
    terminals = [line for line in lines if line.startswith("/")]
    assert len(terminals) == 3
    assert len(set(terminals)) == 1
    masks = dict(line.split(":\t") for line in lines if line.startswith("Sig"))
    assert int(masks["SigBlk"], 16) == 0
    assert int(masks["SigIgn"], 16) & (1 << (signal.SIGPIPE - 1)) == 0


def test_the_end_is_noticed_at_once_with_all_that_was_printed_before(tmp_path: Path, run: Callable[[Any], Any]) -> None:
    """S-7."""

    async def main() -> None:
        async with child(tmp_path, SH, "-c", "echo last words; exit 7") as one:
            assert await one.wait() == 7
            assert one.output == b"last words\r\n"
            assert one.ends == [7]
        async with child(tmp_path, SH, "-c", "kill -9 $$") as one:
            assert await one.wait() == -signal.SIGKILL

    run(main())


def test_a_burst_of_output_comes_whole_and_in_order(tmp_path: Path, run: Callable[[Any], Any]) -> None:
    async def main() -> None:
        async with child(tmp_path, "/usr/bin/seq", "200000") as one:
            assert await one.wait() == 0
            assert one.output.split() == [str(number).encode() for number in range(1, 200001)]

    run(main())


def test_input_that_nobody_reads_is_bounded_and_the_rest_of_the_server_goes_on(
    tmp_path: Path, run: Callable[[Any], Any]
) -> None:
    async def main() -> None:
        script = "stty raw -echo; echo up; read go <fifo; stty -icanon min 0 time 20; echo read $(wc -c)"
        os.mkfifo(tmp_path / "fifo")
        async with child(tmp_path, SH, "-c", script) as one:
            await one.until(b"up")
            for _ in range(40):
                one.process.write(b"x" * 8192)
            await one.process._keeper.ask("status")  # answered once the keeper has all of that
            await asyncio.to_thread((tmp_path / "fifo").write_text, "go\n")
            one.process.write(b"\x04")
            await one.until(b"read ")
            assert INPUT_LIMIT <= int(one.output.split()[-1]) < 2 * INPUT_LIMIT

    run(main())


def test_input_that_is_read_late_arrives_whole(tmp_path: Path, run: Callable[[Any], Any]) -> None:
    async def main() -> None:
        os.mkfifo(tmp_path / "fifo")
        script = f"stty raw -echo; echo up; read go <fifo; head -c {INPUT_LIMIT // 2} | cksum; echo done"
        sent = os.urandom(INPUT_LIMIT // 2)
        async with child(tmp_path, SH, "-c", script) as one:
            await one.until(b"up")
            for start in range(0, len(sent), 5000):
                one.process.write(sent[start : start + 5000])
            await asyncio.to_thread((tmp_path / "fifo").write_text, "go\n")
            await one.until(b"done")
            (tmp_path / "sent").write_bytes(sent)
            async with child(tmp_path, SH, "-c", "cksum < sent") as other:
                await other.wait()
                assert other.output.split()[:2] == one.output.split()[1:3]

    run(main())


def programs(tmp_path: Path, names: Sequence[str]) -> list[Path]:
    paths = [tmp_path / name for name in names]
    for path in paths:
        path.write_text("#!/bin/sh\n")
    return paths


def test_a_process_gives_way_to_the_server_where_sessions_are_weighed(
    tmp_path: Path, run: Callable[[Any], Any]
) -> None:
    async def main() -> None:
        async with child(tmp_path, "/bin/cat") as one:
            weight = Path(f"/proc/{one.process.pid}/autogroup")
            before = weight.read_text() if weight.exists() else None
            one.process.give_way()
            if before is not None and os.access(weight, os.W_OK):
                async with asyncio.timeout(60):
                    while not weight.read_text().endswith(f"nice {NICE}\n"):
                        await asyncio.sleep(0.002)
        one.process.give_way()

    run(main())
