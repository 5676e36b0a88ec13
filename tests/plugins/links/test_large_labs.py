"""What is asked of a link or of a node costs as much in a large lab as in a small one."""

import asyncio
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from inprocess import Served, offering, own, serving
from labplane import VM, Driver, Store
from labplane_links import wiring
from support import free_range

PORTS = 20


class Wide(Driver):
    """Has many ports."""

    kind = "wide"

    def adapters(self, vm: VM, settings: Mapping[str, Any]) -> Sequence[int]:
        return (PORTS,)

    async def start(self, vm: VM) -> None:
        pass

    async def stop(self, vm: VM) -> None:
        pass


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(
        tmp_path,
        [*(one for one in own() if one.name != "projects"), offering(Wide)],
        udp_ports=free_range(2 * PORTS, socket.SOCK_DGRAM),
    ) as made:
        yield made


def id_of(vm: str) -> str:
    return vm.rpartition("/")[2]


def linked(served: Served, project: str, *ends: Mapping[str, Any]) -> Any:
    reply = served.http.post(f"{project}/links", json={"ends": ends})
    assert reply.status_code == 201, reply.text
    return reply.json()


def test_links_and_places_look_at_no_other_vm(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    project = served.project()
    one, other, _ = ({"vm_id": id_of(served.vm(project, "wide"))} for _ in range(3))

    def looked(*_: object) -> None:
        pytest.fail("it looked through the VMs of the project")

    with monkeypatch.context() as patch:
        patch.setattr(served.lab.vms, "of", looked)
        for _ in range(2):
            link = linked(served, project, one, other)
            placed = served.http.patch(f"{project}/topology", json={"nodes": [{**one, "x": 1}]})
            assert placed.json()["nodes"] == [{**one, "x": 1, "y": None, "notes": ""}]
            undone = served.http.delete(f"{project}/links/{link['link_id']}")
            assert undone.status_code == 200, undone.text
    assert served.http.get(f"{project}/topology").json()["links"] == []


def test_a_link_whose_id_is_no_longer_known_is_found(served: Served) -> None:
    project = served.project()
    one, other = ({"vm_id": id_of(served.vm(project, "wide"))} for _ in range(2))
    link = linked(served, project, one, other)
    wiring.id_of_link.cache_clear()
    wiring._ports_of.clear()
    assert served.http.delete(f"{project}/links/{link['link_id']}").status_code == 200
    assert served.http.delete(f"{project}/links/{link['link_id']}").status_code == 404


def test_a_link_that_is_known_and_whose_ends_lead_elsewhere_by_now_is_not_there(served: Served) -> None:
    """Nor in another project."""
    project = served.project()
    one, other = (served.vm(project, "wide") for _ in range(2))
    link = linked(served, project, {"vm_id": id_of(one)}, {"vm_id": id_of(other)})
    assert served.http.delete(f"{served.project()}/links/{link['link_id']}").status_code == 404
    end = f"{one}/adapters/0/ports/0/nio"
    nio = served.http.get(end).json()
    assert served.http.post(end, json={**nio, "rport": 9}).status_code == 201
    assert served.http.delete(f"{project}/links/{link['link_id']}").status_code == 404
    assert served.http.get(end).json()["rport"] == 9


def test_as_many_rows_are_written_for_a_port_of_a_vm_that_has_many(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = served.project()
    vm = served.vm(project, "wide")
    written: list[int] = []
    write: Callable[..., Any] = served.lab.state.write

    def counted(statements: Sequence[Any] = ()) -> Any:
        written.append(len(statements))
        return write(statements)

    monkeypatch.setattr(served.lab.state, "write", counted)
    each: list[list[int]] = []
    for port in range(PORTS):
        lport = served.http.post(f"{project}/ports/udp").json()["udp_port"]
        written.clear()
        nio = {"type": "nio_udp", "lport": lport, "rport": 9, "rhost": "127.0.0.1"}
        assert served.http.post(f"{vm}/adapters/0/ports/{port}/nio", json=nio).status_code == 201
        each.append([*written])
    assert each == [each[0]] * PORTS
    for port in range(PORTS):
        written.clear()
        assert served.http.delete(f"{vm}/adapters/0/ports/{port}/nio").status_code == 204
        assert sum(written) <= sum(each[0])


def test_places_that_were_kept_all_together_are_kept(served: Served) -> None:
    """As labplane did before each had a value of its own."""
    project = served.project()
    one, other = (id_of(served.vm(project, "wide")) for _ in range(2))
    store = Store(served.lab.values, "links", id_of(project))
    places = {vm_id: {"x": 1, "y": number, "notes": "old"} for number, vm_id in enumerate((one, other))}
    asyncio.run_coroutine_threadsafe(store.put("places", places), served.loop).result(20)
    assert served.http.patch(f"{project}/topology", json={"nodes": [{"vm_id": other, "x": 7}]}).status_code == 200
    nodes = served.http.get(f"{project}/topology").json()["nodes"]
    assert [(node["x"], node["y"], node["notes"]) for node in nodes] == [(1, 0, "old"), (7, 1, "old")]
