"""Section 19 of docs/api.md: what is linked to what, where nodes stand, and links that are made in one request."""

from pathlib import Path
from typing import Any

import pytest

from expect import nothing, refusal, shown
from listening import Listener
from machines import create, show, start
from support import Server, running


def topology(server: Server, project: str) -> Any:
    return shown(server.http.get(f"{project}/topology"))


def vm_id(path: str) -> str:
    return path.rpartition("/")[2]


def link(server: Server, project: str, *ends: dict[str, Any]) -> Any:
    return shown(server.http.post(f"{project}/links", json={"ends": list(ends)}), 201)


def switch(server: Server, project: str, ports: int = 3) -> str:
    return server.vm(project, "sw1", kind="switch", ports=ports)


def test_a_lab_that_a_1_x_client_wired_is_shown_with_its_links(server: Server, project: str) -> None:
    """K-1, K-2."""
    one, two = server.linked_pair(project)
    found = topology(server, project)
    assert found["project_id"] == project.rpartition("/")[2]
    assert [node["name"] for node in found["nodes"]] == ["PC1", "PC2"]
    (made,) = found["links"]
    assert made["leads_to"] is None
    assert made["ends"] == [{"vm_id": vm_id(path), "adapter": 0, "port": 0, "name": "eth0"} for path in (one, two)]
    for node, path in zip(found["nodes"], (one, two), strict=True):
        assert node == {
            "vm_id": vm_id(path),
            "name": show(server, path)["name"],
            "kind": "vpcs",
            "status": "stopped",
            "console": show(server, path)["console"],
            "last_exit": None,
            "x": None,
            "y": None,
            "notes": "",
            "ports": [{"adapter": 0, "port": 0, "name": "eth0", "link_id": made["link_id"]}],
        }


@pytest.mark.parametrize("rhost", ["localhost", "127.0.0.9"])
def test_ends_that_call_this_host_by_other_names_are_one_link(server: Server, project: str, rhost: str) -> None:
    """K-2."""
    one, two = server.vm(project), server.vm(project)
    lport, rport = (shown(server.http.post(f"{project}/ports/udp"), 201)["udp_port"] for _ in range(2))
    server.link(one, lport, rport, rhost)
    server.link(two, rport, lport, rhost)
    assert [len(made["ends"]) for made in topology(server, project)["links"]] == [2]


def test_an_end_that_leads_elsewhere_says_where(server: Server, project: str) -> None:
    """K-2: to another host, even with the numbers of a port that is here; to a port that leads elsewhere; to a tap."""
    abroad, here, tap = (server.vm(project, name) for name in ("abroad", "here", "tap"))
    lport, rport = (shown(server.http.post(f"{project}/ports/udp"), 201)["udp_port"] for _ in range(2))
    server.link(abroad, lport, rport, "192.0.2.7")
    server.link(here, rport, lport)
    shown(server.http.post(f"{tap}/adapters/0/ports/0/nio", json={"type": "nio_tap", "tap_device": "tap7"}), 201)
    links = topology(server, project)["links"]
    assert [(len(made["ends"]), made["leads_to"]) for made in links] == [
        (1, f"192.0.2.7:{rport}"),
        (1, f"127.0.0.1:{lport}"),
        (1, "tap7"),
    ]


def test_the_topology_of_nothing_is_empty(server: Server, project: str) -> None:
    """K-1."""
    assert topology(server, project) == {"project_id": project.rpartition("/")[2], "nodes": [], "links": []}


def test_a_switch_that_gets_more_ports_is_shown_with_them(server: Server, project: str) -> None:
    """K-1."""
    vm = switch(server, project, ports=1)
    assert len(topology(server, project)["nodes"][0]["ports"]) == 1
    shown(server.http.put(vm, json={"ports": 2}))
    assert [port["name"] for port in topology(server, project)["nodes"][0]["ports"]] == ["eth0", "eth1"]


def test_two_ports_are_linked_in_one_request_and_a_ping_comes_back(server: Server, project: str) -> None:
    """K-4, and K-7."""
    one = server.vm(project, "PC1", startup_script="ip 10.0.0.1/24\n")
    two = server.vm(project, "PC2", startup_script="ip 10.0.0.2/24\n")
    made = link(server, project, {"vm_id": vm_id(one), "adapter": 0, "port": 0}, {"vm_id": vm_id(two), "name": "eth0"})
    assert made.pop("restart") == []
    assert topology(server, project)["links"] == [made]
    for pc in (one, two):
        start(server, pc)
    shown(server.http.post(f"{two}/exec", json={"line": "show ip"}))  # its script is done
    answer = shown(server.http.post(f"{one}/exec", json={"line": "ping 10.0.0.2 -c 1"}))
    assert "icmp_seq=1 ttl=64" in answer["output"]


def test_the_lowest_free_port_is_taken_when_none_is_named(server: Server, project: str) -> None:
    """K-4: and a link of a switch to itself has two of them."""
    middle = switch(server, project)
    made = link(server, project, {"vm_id": vm_id(middle)}, {"vm_id": vm_id(middle)})
    assert [end["name"] for end in made["ends"]] == ["eth0", "eth1"]
    made = link(server, project, {"vm_id": vm_id(server.vm(project))}, {"vm_id": vm_id(middle)})
    assert [end["name"] for end in made["ends"]] == ["eth0", "eth2"]
    body = {"ends": [{"vm_id": vm_id(server.vm(project))}, {"vm_id": vm_id(middle)}]}
    assert "no free port" in refusal(server.http.post(f"{project}/links", json=body), 409)


def test_a_link_that_is_refused_at_its_second_end_leaves_nothing_at_its_first(server: Server, project: str) -> None:
    """K-4."""
    one, middle = server.vm(project), switch(server, project)
    before = shown(server.http.get("/v1/status"))["ports"]["udp"]
    ends: list[dict[str, Any]] = [{"vm_id": vm_id(one)}, {"vm_id": vm_id(middle), "adapter": 0, "port": 3}]
    assert "has no port 3" in refusal(server.http.post(f"{project}/links", json={"ends": ends}), 409)
    assert topology(server, project)["links"] == []
    assert shown(server.http.get("/v1/status"))["ports"]["udp"] == before
    refusal(server.http.get(f"{one}/adapters/0/ports/0/nio"), 404)


def test_a_port_that_is_linked_is_not_linked_again(server: Server, project: str) -> None:
    """K-4."""
    one, _ = server.linked_pair(project)
    ends = [{"vm_id": vm_id(one)}, {"vm_id": vm_id(server.vm(project))}]
    assert "no free port" in refusal(server.http.post(f"{project}/links", json={"ends": ends}), 409)
    ends[0] |= {"name": "eth0"}
    assert "is linked already" in refusal(server.http.post(f"{project}/links", json={"ends": ends}), 409)


@pytest.mark.parametrize(
    ("end", "status", "words"),
    [
        ({"adapter": 0}, 400, "'adapter' and 'port'"),
        ({"adapter": 0, "port": 0, "name": "eth0"}, 400, "'adapter' and 'port'"),
        ({"name": "eth7"}, 409, "has no port 'eth7'; it has eth0"),
        ({"adapter": 1, "port": 0}, 409, "has no adapter 1"),
        ({"vm_id": "00000000-0000-0000-0000-000000000001"}, 404, "There is no VM"),
    ],
)
def test_an_end_that_cannot_be_says_why(
    server: Server, project: str, end: dict[str, Any], status: int, words: str
) -> None:
    """K-4."""
    ends = [{"vm_id": vm_id(server.vm(project))}, {"vm_id": vm_id(server.vm(project)), **end}]
    assert words in refusal(server.http.post(f"{project}/links", json={"ends": ends}), status)


def test_a_port_is_not_linked_to_itself(server: Server, project: str) -> None:
    """K-4."""
    end = {"vm_id": vm_id(server.vm(project)), "name": "eth0"}
    assert "two ends" in refusal(server.http.post(f"{project}/links", json={"ends": [end, end]}), 400)


def test_a_vm_of_another_project_is_no_end(server: Server, project: str) -> None:
    """K-4."""
    foreign = server.project()
    try:
        ends = [{"vm_id": vm_id(server.vm(project))}, {"vm_id": vm_id(server.vm(foreign))}]
        assert "in project" in refusal(server.http.post(f"{project}/links", json={"ends": ends}), 404)
    finally:
        nothing(server.http.delete(foreign))


def test_an_unlinked_port_is_free_again_and_its_udp_ports_are_given_back(server: Server, project: str) -> None:
    """K-6."""
    before = shown(server.http.get("/v1/status"))["ports"]["udp"]
    one, two = server.vm(project), server.vm(project)
    made = link(server, project, {"vm_id": vm_id(one)}, {"vm_id": vm_id(two)})
    assert shown(server.http.delete(f"{project}/links/{made['link_id'].upper()}")) == {"restart": []}
    assert topology(server, project)["links"] == []
    assert shown(server.http.get("/v1/status"))["ports"]["udp"] == before
    refusal(server.http.delete(f"{project}/links/{made['link_id']}"), 404)
    again = link(server, project, {"vm_id": vm_id(two)}, {"vm_id": vm_id(one)})
    assert again["link_id"] == made["link_id"]


def test_who_has_to_be_restarted_for_a_link_is_said(server: Server, project: str) -> None:
    """K-5: a VPCS that runs has to, a switch that runs does not."""
    one, _ = server.linked_pair(project)
    middle = switch(server, project)
    start(server, one)
    nothing(server.http.post(f"{middle}/start"))
    (old,) = topology(server, project)["links"]
    assert shown(server.http.delete(f"{project}/links/{old['link_id']}")) == {"restart": [vm_id(one)]}
    made = link(server, project, {"vm_id": vm_id(one)}, {"vm_id": vm_id(middle)})
    assert made["restart"] == [vm_id(one)]


def test_an_nio_is_shown_as_it_was_plugged_in(server: Server, project: str) -> None:
    """N-8."""
    vm = server.vm(project)
    path = f"{vm}/adapters/0/ports/0/nio"
    assert "Nothing is plugged" in refusal(server.http.get(path), 404)
    given = {"type": "nio_udp", "lport": 4711, "rport": 9, "rhost": "localhost"}
    shown(server.http.post(path, json=given), 201)
    assert shown(server.http.get(path)) == given
    assert "no adapter 1" in refusal(server.http.get(f"{vm}/adapters/1/ports/0/nio"), 409)


def test_nodes_are_placed_all_at_once(server: Server, project: str) -> None:
    """K-3."""
    one, two = (create(server, project)["vm_id"] for _ in range(2))
    nodes = [{"vm_id": one, "x": 12.5, "y": -3}, {"vm_id": two.upper(), "notes": "the gateway, \u00e4 and all"}]
    placed = shown(server.http.patch(f"{project}/topology", json={"nodes": nodes}))["nodes"]
    assert placed == [
        {"vm_id": one, "x": 12.5, "y": -3, "notes": ""},
        {"vm_id": two, "x": None, "y": None, "notes": "the gateway, \u00e4 and all"},
    ]
    shown(server.http.patch(f"{project}/topology", json={"nodes": [{"vm_id": one, "x": None, "notes": "moved"}]}))
    found = [{name: node[name] for name in placed[0]} for node in topology(server, project)["nodes"]]
    assert found == [{"vm_id": one, "x": None, "y": -3, "notes": "moved"}, placed[1]]


def test_a_place_for_a_vm_that_is_not_there_changes_nothing(server: Server, project: str) -> None:
    """K-3."""
    known = create(server, project)["vm_id"]
    nodes = [{"vm_id": known, "x": 1}, {"vm_id": "00000000-0000-0000-0000-000000000001", "x": 1}]
    refusal(server.http.patch(f"{project}/topology", json={"nodes": nodes}), 404)
    assert topology(server, project)["nodes"][0]["x"] is None


def test_places_travel_with_their_lab(server: Server, lab: str) -> None:
    """K-3: in an export, to VMs that have other ids where it is imported beside the first."""
    nodes = topology(server, lab)["nodes"]
    places = [{"vm_id": node["vm_id"], "x": at, "y": 7, "notes": f"no. {at}"} for at, node in enumerate(nodes)]
    shown(server.http.patch(f"{lab}/topology", json={"nodes": places}))
    archive = server.http.get(f"{lab}/export").content
    copy = server.project()
    try:
        shown(server.http.post(f"{copy}/import", content=archive), 201)
        found = topology(server, copy)
        assert [(node["x"], node["y"], node["notes"]) for node in found["nodes"]] == [(0, 7, "no. 0"), (1, 7, "no. 1")]
        assert {node["vm_id"] for node in found["nodes"]}.isdisjoint({node["vm_id"] for node in nodes})
        assert [len(made["ends"]) for made in found["links"]] == [2]
    finally:
        nothing(server.http.delete(copy))


def test_a_place_outlives_the_server(tmp_path: Path) -> None:
    """K-3: when the project is opened again and its VM made again under its id."""
    with running(tmp_path) as server:
        project = server.project()
        vm = create(server, project)["vm_id"]
        shown(server.http.patch(f"{project}/topology", json={"nodes": [{"vm_id": vm, "x": 5}]}))
    with running(tmp_path) as server:
        shown(server.http.post("/v1/projects", json={"project_id": project.rpartition("/")[2]}), 201)
        if not topology(server, project)["nodes"]:
            create(server, project, vm_id=vm)
        assert topology(server, project)["nodes"][0]["x"] == 5


def test_whoever_listens_hears_of_each_change_of_the_topology(server: Server, project: str) -> None:
    """W-3, K-3."""
    one, two = server.vm(project, "PC1"), server.vm(project, "PC2")
    with Listener(server.port, f"{project}/notifications") as listener:
        made = link(server, project, {"vm_id": vm_id(one)}, {"vm_id": vm_id(two)})
        nio = shown(server.http.get(f"{one}/adapters/0/ports/0/nio"))
        plugged = listener.events(2)
        assert ("link.plugged", {"vm_id": vm_id(one), "adapter": 0, "port": 0, "nio": nio}) in plugged
        assert {event["vm_id"] for action, event in plugged if action == "link.plugged"} == {vm_id(one), vm_id(two)}
        shown(server.http.delete(f"{project}/links/{made['link_id']}"))
        assert {(action, event["vm_id"]) for action, event in listener.events(2)} == {
            ("link.unplugged", vm_id(one)),
            ("link.unplugged", vm_id(two)),
        }
        shown(server.http.patch(f"{project}/topology", json={"nodes": [{"vm_id": vm_id(one), "x": 1, "y": 2}]}))
        assert listener.events(1) == [("node.placed", {"vm_id": vm_id(one), "x": 1, "y": 2, "notes": ""})]
        shown(server.http.put(one, json={"name": "other"}))
        assert [(action, event["name"]) for action, event in listener.events(1)] == [("vm.updated", "other")]
        shown(server.http.put(one, json={"name": "other"}))  # which changes nothing
        nothing(server.http.delete(two))
        assert [action for action, _ in listener.events(1)] == ["vm.deleted"]
