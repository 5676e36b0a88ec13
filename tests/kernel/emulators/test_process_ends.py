"""How processes on terminals end, and what is left of them."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from children import SH, alive, child, gone


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_stop_sends_sigterm_and_waits(tmp_path: Path, run: Callable[[Any], Any]) -> None:
    """S-5."""

    async def main() -> None:
        async with child(
            tmp_path, SH, "-c", "trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.01; done"
        ) as one:
            await one.until(b"up")
            assert await one.process.stop() == 3
            assert b"bye" in one.output
            assert not alive(one.process.pid)

    run(main())


def test_who_ignores_sigterm_gets_sigkill(tmp_path: Path, run: Callable[[Any], Any]) -> None:
    """S-5."""

    async def main() -> None:
        async with child(tmp_path, SH, "-c", "trap '' TERM HUP; echo up; while :; do sleep 0.1; done") as one:
            await one.until(b"up")
            assert await one.process.stop(0.1) == -signal.SIGKILL

    run(main())


@pytest.mark.parametrize("how", ["stop", "kill", "exit"])
def test_what_a_process_started_ends_with_it(how: str, tmp_path: Path, run: Callable[[Any], Any]) -> None:
    """B-11: whether it is stopped, killed or ends by itself."""
    script = "trap '' HUP; sh -c 'trap \"\" TERM HUP; echo pid $$; while :; do sleep 0.1; done' & read answer; exit 0"

    async def main() -> int:
        async with child(tmp_path, SH, "-c", script) as one:
            await one.until(b"pid ")
            await one.until(b"\r\n")
            pid = int(one.output.split()[1])
            assert alive(pid)
            if how == "stop":
                await one.process.stop()
            elif how == "kill":
                one.process.kill()
            else:
                one.process.write(b"\n")
            await one.wait()
            return pid

    gone(run(main()))


def test_a_process_that_closes_its_terminal_still_runs_until_it_is_stopped(
    tmp_path: Path, run: Callable[[Any], Any]
) -> None:
    async def main() -> None:
        script = "trap '' HUP; echo up; exec 0<&- 1>&- 2>&-; while :; do /bin/sleep 0.05; done"
        async with child(tmp_path, SH, "-c", script) as one:
            await one.until(b"up")
            one.process.write(b"nobody reads this\n")
            descriptor = Path(f"/proc/{one.process.pid}/fd/1")
            async with asyncio.timeout(20):
                while descriptor.is_symlink():
                    await asyncio.sleep(0.002)
            assert one.process.returncode is None
            assert await one.process.stop() == -signal.SIGTERM

    run(main())


def test_no_descriptor_and_no_zombie_is_left(tmp_path: Path, run: Callable[[Any], Any]) -> None:
    async def main() -> None:
        async with child(tmp_path, "/bin/true") as one:
            await one.wait()
        before = open_descriptors()
        pids = []
        for number in range(10):
            async with child(tmp_path, SH, "-c", f"echo {number}") as one:
                pids.append(one.process.pid)
                await one.wait()
        for command, cwd in (("/no/such/program", tmp_path), ("/bin/true", tmp_path / "nowhere")):
            with pytest.raises(FileNotFoundError):
                async with child(cwd, command):
                    pass
        assert open_descriptors() == before
        assert not any(Path(f"/proc/{pid}").exists() for pid in pids)

    run(main())


def test_the_terminal_dies_with_the_server(tmp_path: Path) -> None:
    """Q-14: nothing is left of what has a keeper of its own, without a directory, when its process is killed."""
    program = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from labplane.emulators.terminals import Terminals\n"
        "async def main():\n"
        "    process = await Terminals().spawn(['/bin/cat'], cwd=Path('/'), on_output=print, on_exit=print)\n"
        "    print(process.pid, flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )

    async def main() -> int:
        server = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE)
        assert server.stdout is not None
        pid = int(await server.stdout.readline())
        assert alive(pid)
        server.kill()
        await server.wait()
        return pid

    gone(asyncio.run(main()))
