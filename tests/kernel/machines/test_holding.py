"""Who holds a project keeps it from being closed (L-7)."""

import asyncio
from pathlib import Path

import pytest

from inprocess import own, settings
from labplane import NotFound
from labplane.kernel import Kernel
from one_vm import ABSENT


def test_a_project_is_closed_once_nobody_holds_it(tmp_path: Path) -> None:
    async def main() -> None:
        lab = Kernel(settings(tmp_path), own())
        project_id = (await lab.ask("POST", "/v1/projects"))["project_id"]
        await lab.ask("POST", "/v1/projects/{project_id}/vpcs/vms", {"name": "A"}, project_id=project_id)
        async with lab.held(project_id) as directory:
            assert directory == lab.project_dir(project_id)
            close = lab.background(lab.ask("POST", "/v1/projects/{project_id}/close", project_id=project_id))
            late = asyncio.ensure_future(lab.held(project_id).__aenter__())
            while not lab.is_closing(project_id):
                await asyncio.sleep(0)
            assert len(lab.vms.of(project_id)) == 1
        await close
        with pytest.raises(NotFound):
            await late
        assert lab.vms.of(project_id) == []
        assert not lab._holds
        await lab.end()

    asyncio.run(main())


def test_those_who_hold_a_project_take_turns(tmp_path: Path) -> None:
    async def main() -> None:
        lab = Kernel(settings(tmp_path), own())
        project_id = (await lab.ask("POST", "/v1/projects"))["project_id"]
        inside: list[int] = []

        async def hold(number: int) -> None:
            async with lab.held(project_id):
                inside.append(number)
                await asyncio.sleep(0)
                assert inside[-1] == number

        await asyncio.gather(*(hold(number) for number in range(5)))
        assert inside == [0, 1, 2, 3, 4]
        await lab.end()

    asyncio.run(main())


def test_a_project_that_is_not_open_cannot_be_held(tmp_path: Path) -> None:
    async def main() -> None:
        lab = Kernel(settings(tmp_path), own())
        with pytest.raises(NotFound):
            async with lab.held(ABSENT):
                raise AssertionError

    asyncio.run(main())
