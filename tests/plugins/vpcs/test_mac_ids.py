"""One byte of the MAC address tells the VPCS of a server apart (M-13)."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from host import command_line
from labplane import Conflict
from labplane_vpcs.mac_ids import MAC_IDS, MacIds, first_id
from machines import linked, start
from support import Server, free_range, running


@pytest.mark.parametrize("first", [0, 7, 253, 254])
def test_from_the_first_on_the_next_free_number_comes_first(first: int) -> None:
    ids = MacIds(first)
    four = [ids.lease("p") for _ in range(4)]
    assert four == [(first + n) % MAC_IDS for n in range(4)]
    ids.release("p", four[2])
    ids.release("p", four[0])
    assert [ids.lease("p") for _ in range(2)] == [four[0], four[2]]
    assert ids.lease("p") == (first + 4) % MAC_IDS


def test_two_projects_have_no_number_in_common() -> None:
    ids = MacIds(100)
    leased = [ids.lease(project) for _ in range(100) for project in ("p", "q")]
    assert len(set(leased)) == 200
    ids.release("p", leased[0])
    assert ids.lease("q") == leased[0]


def test_more_than_255_share_what_others_have_the_fewest_times_and_never_in_a_project() -> None:
    ids = MacIds(200)
    leased = {project: [ids.lease(project) for _ in range(200)] for project in ("p", "q", "r")}
    for numbers in leased.values():
        assert len(set(numbers)) == 200
    times = Counter(number for numbers in leased.values() for number in numbers)
    assert len(times) == MAC_IDS
    assert set(times.values()) == {2, 3}
    for project, numbers in leased.items():
        for number in numbers:
            ids.release(project, number)
    assert [ids.lease("s") for _ in range(MAC_IDS)] == [(200 + n) % MAC_IDS for n in range(MAC_IDS)]


@given(
    first=st.integers(0, MAC_IDS - 1),
    steps=st.lists(st.tuples(st.booleans(), st.sampled_from("pqr"), st.integers(0, 999)), max_size=400),
)
def test_whatever_is_leased_and_given_back_no_number_is_had_twice_while_one_is_free(
    first: int, steps: list[tuple[bool, str, int]]
) -> None:
    ids = MacIds(first)
    leased: list[tuple[str, int]] = []
    for gives, project, which in steps:
        if gives and leased:
            ids.release(*leased.pop(which % len(leased)))
        elif not gives:
            taken = Counter(number for _, number in leased)
            number = ids.lease(project)
            assert (project, number) not in leased
            assert taken[number] == (0 if len(taken) < MAC_IDS else min(taken.values()))
            leased.append((project, number))


def test_a_project_has_255_of_them() -> None:
    ids = MacIds(9)
    assert sorted(ids.lease("p") for _ in range(MAC_IDS)) == list(range(MAC_IDS))
    with pytest.raises(Conflict):
        ids.lease("p")
    ids.release("p", 254)
    assert ids.lease("p") == 254


def test_each_projects_directory_begins_elsewhere_and_always_there(tmp_path: Path) -> None:
    firsts = [first_id(tmp_path / str(n)) for n in range(50)]
    assert firsts == [first_id(tmp_path / str(n)) for n in range(50)]
    assert set(firsts) <= set(range(MAC_IDS))
    assert len(set(firsts)) > 30


def mac_id(server: Server, project: str) -> int:
    """The MAC id with which a new VPCS of that project runs."""
    arguments = command_line(start(server, linked(server, project)))
    return int(arguments[arguments.index("-m") + 1])


def test_the_first_vpcs_of_two_projects_and_of_two_servers_differ(tmp_path: Path) -> None:
    with running(tmp_path / "one") as one:
        assert mac_id(one, one.project()) == first_id(one.projects)
        assert mac_id(one, one.project()) == (first_id(one.projects) + 1) % MAC_IDS
    elsewhere = next(path for n in range(9) if first_id(path := tmp_path / str(n)) != first_id(one.projects))
    with running(elsewhere) as other:
        assert mac_id(other, other.project()) == first_id(elsewhere)


def test_a_vm_that_fails_to_be_created_keeps_no_number(tmp_path: Path) -> None:
    with running(tmp_path / "projects", consoles=free_range(300)) as server:
        project = server.project()
        vm_id = "00010203-0405-0607-0809-0a0b0c0d0e0f"
        vms = tmp_path / "projects" / project.rsplit("/", 1)[1] / "project-files" / "vpcs"
        (vms / vm_id / "startup.vpc" / "in the way").mkdir(parents=True)
        body = {"name": "PC", "vm_id": vm_id, "startup_script": "ip 10.0.0.1"}
        assert server.http.post(f"{project}/vpcs/vms", json=body).status_code == 409
        for _ in range(255):
            server.vm(project)
        assert server.http.post(f"{project}/vpcs/vms", json={"name": "PC", "engine": "vpcs"}).status_code == 409


def test_what_replaces_a_taken_id_is_none_that_a_vpcs_of_the_project_still_waits_for() -> None:
    """A closed project had 10 and 11, and another one has got 10 meanwhile."""
    ids = MacIds(10)
    assert ids.lease("other") == 10
    assert ids.again("reopened", 10, [10, 11], shared=False) == 12
    assert ids.again("reopened", 11, [10, 11], shared=False) == 11
