"""A program that fails because it is confined says so in its message, and what to do."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from fragile import Bench, Cat, Test
from labplane import VM, Conflict, Session, Unavailable
from labplane.emulators.confinement import version
from labplane.machines import lifecycle

WHY = r"It is confined, which may be why: .* its driver `needs` .* sandbox = \"off\""

pytestmark = pytest.mark.skipif(version() == 0, reason="this kernel has no Landlock")


class Short(Cat):
    """Waits for the program's end, as a driver does that looks for a sign of life."""

    async def launch(self, vm: VM, session: Session) -> None:
        await super().launch(vm, session)
        assert session.process
        await session.process.wait()


class Free(Short):
    confined = False


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "elsewhere" / "file"
    path.parent.mkdir()
    path.write_text("#!/bin/sh\necho executed\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("script", [". {}", "{}", "read line < {} || exit 1", "echo > {}"])
def test_what_was_denied_when_it_was_started_is_explained(
    script: str, secret: Path, bench: Callable[[Test], None]
) -> None:
    async def test(bench: Bench) -> None:
        vm = await bench.create("cat")
        vm.data["command"] = ["/bin/sh", "-c", script.format(secret)]
        vm.driver = Short(bench.lab)
        with pytest.raises(Conflict, match=f"ermission denied {WHY}"):
            await lifecycle.start(vm)
        vm.driver = Free(bench.lab)
        with pytest.raises(Conflict, match="ended as soon as it was started") as ended:
            await lifecycle.start(vm)
        assert "confined" not in str(ended.value)

    bench(test)


def test_what_was_denied_later_is_explained_in_the_log(
    secret: Path, bench: Callable[[Test], None], caplog: pytest.LogCaptureFixture
) -> None:
    async def test(bench: Bench) -> None:
        vm = await bench.create("cat")
        script = f"read go; read line < {secret} || exit 3"
        vm.data["command"] = ["/bin/sh", "-c", script]
        await lifecycle.start(vm)
        assert vm.session
        assert vm.session.process
        vm.session.process.write(b"\r")
        assert await asyncio.wait_for(vm.session.process.wait(), 20) == 3

    with caplog.at_level(logging.ERROR):
        bench(test)
    assert "ended by itself, with status 3. It is confined, which may be why" in caplog.text


def test_an_end_for_another_reason_is_not_put_down_to_the_confinement(
    bench: Callable[[Test], None], caplog: pytest.LogCaptureFixture
) -> None:
    async def test(bench: Bench) -> None:
        vm = await bench.create("cat")
        vm.driver = Short(bench.lab)
        for script in ("echo no such interface; exit 1", "kill -9 $$", "exit 0"):
            vm.data["command"] = ["/bin/sh", "-c", script]
            with pytest.raises(Conflict) as ended:
                await lifecycle.start(vm)
            assert "confined" not in str(ended.value)

    bench(test)
    assert "confined" not in caplog.text


def test_a_program_that_may_not_be_executed_is_explained(tmp_path: Path, bench: Callable[[Test], None]) -> None:
    program = tmp_path / "program"
    program.write_text("")

    async def test(bench: Bench) -> None:
        vm = await bench.create("cat")
        vm.data["command"] = [str(program)]
        with pytest.raises(Unavailable, match=f"cannot be executed: Permission denied at {program}. {WHY}"):
            await lifecycle.start(vm)

    bench(test)
