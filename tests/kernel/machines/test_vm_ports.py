"""Ports of VMs: their names, kinds and MAC addresses."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from inprocess import Served, offering, serving
from labplane import VM, Driver, VMPort
from labplane.machines.ports import MacBlocks


class Box(Driver):
    """Two adapters, the second with two ports."""

    kind = "box"
    console = False

    def adapters(self, vm: VM) -> Sequence[int]:
        return (1, 2)

    async def start(self, vm: VM) -> None:
        pass

    async def stop(self, vm: VM) -> None:
        pass


class Router(Box):
    """Says more of its ports."""

    kind = "router"

    def ports(self, vm: VM) -> Sequence[VMPort]:
        first = VMPort(0, 0, "Gi0/0", mac=vm.mac(0))
        return (first, *(VMPort(1, number, f"Se1/{number}", kind="serial") for number in range(2)))


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path, [offering(Box, Router)]) as served:
        yield served


def test_ports_are_numbered_unless_the_driver_names_them(served: Served) -> None:
    vm = served.vm(served.project(), "box")
    nio = {"type": "nio_udp", "lport": served.lab.udp.first, "rhost": "127.0.0.1", "rport": 9}
    served.http.post(f"{vm}/adapters/1/ports/0/nio", json=nio)
    empty = {"kind": "ethernet", "mac": None, "nio": None}
    assert served.http.get(f"{vm}/ports").json() == [
        {**empty, "adapter": 0, "port": 0, "name": "eth0"},
        {**empty, "adapter": 1, "port": 0, "name": "eth1", "nio": nio},
        {**empty, "adapter": 1, "port": 1, "name": "eth2"},
    ]


def test_a_driver_names_its_ports_and_says_their_kinds_and_addresses(served: Served) -> None:
    shown = served.http.get(f"{served.vm(served.project(), 'router')}/ports").json()
    assert [(port["name"], port["kind"]) for port in shown] == [
        ("Gi0/0", "ethernet"),
        ("Se1/0", "serial"),
        ("Se1/1", "serial"),
    ]
    assert re.fullmatch("([0-9a-f]{2}:){5}[0-9a-f]{2}", shown[0]["mac"])


def test_mac_addresses_follow_from_the_id_and_are_nobody_elses() -> None:
    ids = [f"00000000-0000-0000-0000-{number:012x}" for number in range(500)]
    blocks, again = MacBlocks(), MacBlocks()
    first = {vm_id: [blocks.address(vm_id, number) for number in (0, 1, 1023)] for vm_id in ids}
    assert {vm_id: [again.address(vm_id, number) for number in (0, 1, 1023)] for vm_id in reversed(ids)} == first
    addresses = [address for block in first.values() for address in block]
    assert len(set(addresses)) == len(addresses)
    for address in addresses:
        assert int(address[:2], 16) & 0b11 == 0b10, "of one station, and locally administered"


def test_two_vms_whose_ids_lead_to_one_block_get_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labplane.machines.ports.BLOCKS", 2)
    blocks = MacBlocks()
    assert len({blocks.address("a", 0), blocks.address("b", 0)}) == 2
    blocks.release("a")
    assert blocks.address("c", 0) != blocks.address("b", 0)


@pytest.mark.parametrize("number", [-1, 1024])
def test_a_number_that_a_vm_has_no_address_for_is_an_error(number: int) -> None:
    with pytest.raises(ValueError, match="from 0 to 1023"):
        MacBlocks().address("a", number)


def test_a_vm_that_is_deleted_gives_its_addresses_back(served: Served) -> None:
    vm = served.vm(served.project(), "router")
    served.http.get(f"{vm}/ports")
    assert len(served.lab.macs._blocks) == 1
    served.http.delete(vm)
    assert served.lab.macs._blocks == {}
    assert served.lab.macs._taken == set()
