"""Who holds a project keeps it from being closed (L-7)."""

import asyncio
from pathlib import Path

import pytest

from inprocess import own, settings
from labplane import NotFound
from labplane.kernel import Kernel
from labplane.testing.server import free_range
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


def test_others_have_their_turn_while_a_project_with_many_vms_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = 40
    sleep, turns = asyncio.sleep, 0

    async def noted(seconds: float) -> None:
        nonlocal turns
        turns += not seconds
        await sleep(seconds)

    async def main() -> None:
        nonlocal turns
        lab = Kernel(settings(tmp_path, console_ports=free_range(many)), own())
        await lab.start()
        project_id = (await lab.ask("POST", "/v1/projects"))["project_id"]
        for number in range(many):
            await lab.ask("POST", "/v1/projects/{project_id}/vpcs/vms", {"name": f"PC{number}"}, project_id=project_id)
        given = []
        for at_a_time in (many + 1, 10):
            await lab.ask("POST", "/v1/projects/{project_id}/close", project_id=project_id)
            monkeypatch.setattr("labplane.machines.restoring.AT_A_TIME", at_a_time)
            turns = 0
            await lab.ask("POST", "/v1/projects", {"project_id": project_id})
            given.append(turns)
            assert len(lab.vms.of(project_id)) == many
        await lab.end()
        assert given[1] == given[0] + 4

    monkeypatch.setattr(asyncio, "sleep", noted)
    asyncio.run(main())
