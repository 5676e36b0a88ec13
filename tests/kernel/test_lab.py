"""The lab as a whole: its start and end, its reload, and what project operations leave."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.responses import PlainTextResponse

from inprocess import PROJECTS, offering, own, serving, settings
from labplane import VM, Conflict, Driver, Plugin, Route, hook, kernel as room
from labplane.kernel import Kernel
from labplane.machines import lifecycle
from labplane.plugins.loading import Candidate
from labplane.server.app import make_app
from labplane.settings import SettingsError


class Idle(Driver):
    kind = "idle"
    console = False

    async def start(self, vm: VM) -> None:
        pass

    async def stop(self, vm: VM) -> None:
        pass


def test_one_failing_farewell_costs_the_others_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A-3: whatever a plugin does at the end, the others' projects are closed and their VMs ended."""
    lab = Kernel(settings(tmp_path), [PROJECTS, offering(Idle)])
    said: list[str] = []

    async def fail() -> None:
        raise ValueError("in a farewell")

    async def speak() -> None:
        said.append("bye")

    async def main() -> None:
        lab.at_end(fail)
        lab.at_end(speak)
        await lab.start()
        await lab.end()

    asyncio.run(main())
    assert said == ["bye"]
    assert "in a farewell" in caplog.text


def test_the_end_waits_for_operations_whose_clients_have_gone(tmp_path: Path) -> None:
    lab = Kernel(settings(tmp_path))
    ended: list[bool] = []

    async def operation() -> None:
        for _ in range(100):
            await asyncio.sleep(0)
        ended.append(True)

    async def main() -> None:
        lab.background(operation())
        await lab.end()

    asyncio.run(main())
    assert ended == [True]


def test_what_does_not_end_in_time_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(room, "SHUTDOWN_SECONDS", 0.05)
    lab = Kernel(settings(tmp_path))
    ends: list[int] = []

    async def main() -> None:
        process = await lab.terminals.spawn(["/bin/cat"], cwd=tmp_path, on_output=lambda _: None, on_exit=ends.append)
        lab.at_end(asyncio.Event().wait)  # type: ignore[arg-type]
        await lab.end()
        assert await process.wait() == -9

    asyncio.run(main())
    assert ends == [-9]
    assert "not everything ended within 0.05 seconds" in caplog.text


def test_vms_of_a_project_that_nobody_closed_are_removed_at_the_end(tmp_path: Path) -> None:
    class Keeper(Plugin):
        @hook
        def project_dir(self, project_id: str) -> Path | None:
            return tmp_path / project_id

    lab = Kernel(settings(tmp_path), [Candidate("keeper", lambda: Keeper), offering(Idle)])

    async def main() -> None:
        await lifecycle.create(lab, lab.kinds["idle"], lab._deleted, "p", {"name": "A"}, VM.to_object)
        assert len(lab.vms) == 1
        await lab.end()

    asyncio.run(main())
    assert len(lab.vms) == 0


def test_a_lab_that_no_server_runs_cannot_stop_itself(tmp_path: Path) -> None:
    lab = Kernel(settings(tmp_path))
    with pytest.raises(Conflict, match="cannot stop itself"):
        lab.shutdown()
    stopped: list[bool] = []
    lab.stop_server = lambda: stopped.append(True)
    lab.shutdown()
    assert stopped == [True]


def test_a_reload_takes_over_what_can_change_and_says_what_cannot(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A-2."""
    lab = Kernel(settings(tmp_path), own())
    before = lab.settings
    lab.read_settings = lambda: settings(
        tmp_path, port=1, local=True, unclaimed_udp_seconds=5, plugins={"vpcs": {"program": "/opt/vpcs"}}
    )
    lab.reload()
    assert (lab.settings.port, lab.settings.local) == (before.port, True)
    assert (lab.udp.first, lab.udp.last) == lab.settings.udp_range
    assert (lab.consoles.first, lab.consoles.last) == lab.settings.console_range
    assert lab.udp.patience == 5
    assert lab.plugins._configs["vpcs"]["program"] == "/opt/vpcs"
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING] == [
        "the setting port takes effect at the next start"
    ]


def unreadable() -> Any:
    raise SettingsError("lab.toml is not TOML: x")


@pytest.mark.parametrize(
    ("read", "words"),
    [
        (unreadable, "The settings are not reloaded: lab.toml is not TOML"),
        (lambda: settings(Path("/nowhere"), plugins={"vcps": {}}), "'plugins' names 'vcps', which is no installed"),
        (lambda: settings(Path("/nowhere"), plugins={"vpcs": {"program": 1}}), "'program' must be of type string"),
    ],
)
def test_a_reload_of_bad_settings_is_a_conflict_and_changes_nothing(
    read: Callable[[], Any], words: str, tmp_path: Path
) -> None:
    lab = Kernel(settings(tmp_path), own())
    before = lab.settings
    lab.read_settings = read
    with pytest.raises(Conflict, match=words):
        lab.reload()
    assert lab.settings is before
    assert lab.plugins._configs["vpcs"]["program"] == "vpcs"


def test_the_directory_of_a_deleted_vm_goes_with_the_commit_unless_it_is_in_use_again(tmp_path: Path) -> None:
    """M-12, P-11."""
    with serving(tmp_path, [offering(Idle)]) as served:
        project = served.project()
        keep, drop = (served.vm(project, "idle") for _ in range(2))
        directories = [Path(served.http.get(vm).json()["vm_directory"]) for vm in (keep, drop)]
        for vm in (keep, drop):
            assert served.http.delete(vm).status_code == 204
        assert all(directory.is_dir() for directory in directories)
        served.vm(project, "idle", vm_id=keep.rsplit("/", 1)[1])
        assert served.http.post(f"{project}/commit").status_code == 204
        assert [directory.is_dir() for directory in directories] == [True, False]


def test_a_creation_waits_until_the_directory_of_its_id_is_gone(tmp_path: Path) -> None:
    """Or a commit would delete the files of the new VM."""
    lab = Kernel(settings(tmp_path))

    async def main() -> None:
        removed = lab._deleted._removals["p", "x"] = asyncio.Event()
        removal = lab._deleted.removal("p", "x")
        assert removal is not None
        waiting = asyncio.ensure_future(removal)
        await asyncio.sleep(0)
        assert not waiting.done()
        removed.set()
        await waiting
        assert lab._deleted.removal("another", "x") is None

    asyncio.run(main())


@pytest.mark.parametrize(
    "vm_id", ["00010203-0405-0607-0809-0a0b0c0d0e0f\n", "x", "{00010203-0405-0607-0809-0a0b0c0d0e0f}"]
)
def test_a_vm_id_that_no_path_could_name_is_refused(vm_id: str, tmp_path: Path) -> None:
    """M-1, E-4: a regular expression's $ would let the newline pass."""
    with serving(tmp_path, [offering(Idle)]) as served:
        project = served.project()
        reply = served.http.post(f"{project}/idle/vms", json={"name": "A", "vm_id": vm_id})
        assert reply.status_code == 400
        assert "'vm_id'" in reply.json()["message"]


def test_unknown_routes_and_crashes_of_the_application_itself_have_the_envelope(tmp_path: Path) -> None:
    """E-1, T-8."""

    class Late(Plugin):
        @hook
        def routes(self) -> list[Route]:
            return [Route("GET", "/v1/late", self.late)]

        async def late(self, _: object) -> Any:
            class Failing(PlainTextResponse):
                async def __call__(self, *_: object) -> None:
                    raise ValueError("a secret")

            return Failing("late")

    lab = Kernel(settings(tmp_path), [Candidate("late", lambda: Late)])

    async def main() -> None:
        transport = httpx2.ASGITransport(make_app(lab), raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
            reply = await client.get("/v1/" + "x" * 500)
            assert reply.json() == {"status": 404, "message": f"There is no route /v1/{'x' * 196}."}
            reply = await client.get("/v1/late")
            assert (reply.status_code, reply.json()["status"], "secret" in reply.text) == (500, 500, False)
            assert (await client.get("/v1/version/")).json()["status"] == 404

    asyncio.run(main())
