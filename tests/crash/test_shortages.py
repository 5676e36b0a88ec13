"""Descriptors and processes that run out: the request is refused with a sentence, what is there stays and runs on."""

import resource
from pathlib import Path

from expect import nothing, refusal
from lives import Lives
from machines import linked, show
from pinging import Pinging
from support import until
from tracing import TRACEABLE, traced


def test_without_a_free_descriptor_requests_are_refused_and_nothing_is_lost(tmp_path: Path) -> None:
    with Lives.beginning(tmp_path / "projects") as lives:
        http, pid = lives.server.http, lives.server.process.pid
        pinging = Pinging(lives)
        project = lives.server.project(name="lab")
        vm = linked(lives.server, project)
        before = show(lives.server, vm)
        soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, hard))
        for path in (f"{project}/vpcs/vms", f"{project}/ports/udp", f"{vm}/start"):
            assert "files open" in refusal(http.post(path, json={"name": "new"} if "vms" in path[-4:] else {}), 503)
        assert show(lives.server, vm) == before
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
        nothing(http.post(f"{vm}/start"))
        lives.kill()
        lives.again()
        assert show(lives.server, vm)["status"] == "started"
        assert pinging.complaints() == []


def test_when_there_can_be_no_further_process_a_start_is_refused_and_what_runs_runs_on(tmp_path: Path) -> None:
    with Lives.beginning(tmp_path / "projects", within=TRACEABLE) as lives:
        http = lives.server.http
        pinging = Pinging(lives)
        vm = linked(lives.server, lives.server.project(name="lab"))
        calls = [f"{call}:error=EAGAIN" for call in ("clone", "clone3", "fork", "vfork")]
        with traced(lives.keeper().pid, *calls):
            assert "no further process" in refusal(http.post(f"{vm}/start"), 503)
            assert show(lives.server, vm)["status"] == "stopped"
            pinging.goes_on()
        until(lambda: http.post(f"{vm}/start").status_code == 204, "a start")
        assert pinging.complaints() == []
