"""One byte of the MAC address tells the VPCS of a project apart (M-13)."""

from pathlib import Path

import pytest

from labplane import Conflict
from labplane_vpcs.mac_ids import MacIds
from support import free_range, running


def test_the_lowest_free_number_comes_first() -> None:
    ids = MacIds()
    assert [ids.lease("p") for _ in range(4)] == [0, 1, 2, 3]
    ids.release("p", 2)
    ids.release("p", 0)
    assert [ids.lease("p") for _ in range(3)] == [0, 2, 4]


def test_each_project_has_numbers_of_its_own() -> None:
    ids = MacIds()
    assert ids.lease("p") == ids.lease("q") == 0
    ids.release("p", 0)
    assert ids.lease("q") == 1


def test_there_are_255_of_them() -> None:
    ids = MacIds()
    assert [ids.lease("p") for _ in range(255)] == list(range(255))
    with pytest.raises(Conflict):
        ids.lease("p")
    ids.release("p", 254)
    assert ids.lease("p") == 254


def test_a_vm_that_fails_to_be_created_keeps_no_number(tmp_path: Path) -> None:
    with running(tmp_path / "projects", consoles=free_range(300)) as server:
        project = server.project()
        vm_id = "00010203-0405-0607-0809-0a0b0c0d0e0f"
        vms = tmp_path / "projects" / project.rsplit("/", 1)[1] / "project-files" / "vpcs"
        (vms / vm_id / "startup.vpc" / "in the way").mkdir(parents=True)
        body = {"name": "PC", "vm_id": vm_id, "startup_script": "ip 10.0.0.1"}
        assert server.http.post(f"{project}/vpcs/vms", json=body).status_code == 500
        for _ in range(255):
            server.vm(project)
        assert server.http.post(f"{project}/vpcs/vms", json={"name": "PC"}).status_code == 409
