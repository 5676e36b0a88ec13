"""Section 8 of docs/api.md over HTTP: the end of a link at a VM's port."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from expect import nothing, refusal, shown
from host import command_line, udp_ports_of
from namespaces import needs_namespace, needs_tun, run_apart
from support import Server, running, until

UDP = {"type": "nio_udp", "lport": 9000, "rhost": "127.0.0.1", "rport": 9001}
TAP = {"type": "nio_tap", "tap_device": "tap0"}


@pytest.fixture
def vm(server: Server) -> Iterator[str]:
    """A VM whose project ends with its test."""
    project = server.project()
    yield server.vm(project)
    nothing(server.http.delete(project))


def plug(server: Server, vm: str, nio: Any, adapter: str = "0", port: str = "0") -> Any:
    return server.http.post(f"{vm}/adapters/{adapter}/ports/{port}/nio", json=nio)


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in UDP.items() if key != name}


@pytest.mark.parametrize("nio", [UDP, {**UDP, "lport": 1, "rport": 65535}, {**UDP, "lport": 65535, "rport": 1}])
def test_a_link_is_echoed(server: Server, vm: str, nio: dict[str, Any]) -> None:
    """N-1."""
    assert shown(plug(server, vm, nio), 201) == nio


@pytest.mark.parametrize(
    "nio",
    [
        {},
        {"type": None},
        {"type": 1},
        {"type": "nio_unknown"},
        {"type": "udp"},
        {"type": "NIO_UDP"},
        {"lport": 1, "rport": 1, "rhost": "127.0.0.1"},
        without("lport"),
        without("rport"),
        without("rhost"),
        {**UDP, "lport": 0},
        {**UDP, "lport": 65536},
        {**UDP, "lport": "9000"},
        {**UDP, "lport": None},
        {**UDP, "lport": 9000.5},
        {**UDP, "rport": 0},
        {**UDP, "rport": 65536},
        {**UDP, "rport": -1},
        {**UDP, "rhost": ""},
        {**UDP, "rhost": 1},
        {**UDP, "rhost": None},
        {**UDP, "extra": 1},
        {**UDP, "tap_device": "tap0"},
        {"type": "nio_tap"},
        {"type": "nio_tap", "tap_device": ""},
        {"type": "nio_tap", "tap_device": 1},
        {**TAP, "lport": 1},
    ],
)
def test_a_link_must_fit_its_schema(server: Server, vm: str, nio: dict[str, Any]) -> None:
    """N-1: and nothing is plugged in."""
    refusal(plug(server, vm, nio), 400)
    refusal(server.http.post(f"{vm}/start"), 409)


@pytest.mark.parametrize(
    "nio",
    [
        {"type": "nio_generic_ethernet", "ethernet_device": "eth0"},
        {"type": "nio_linux_ethernet", "ethernet_device": "eth0"},
        {"type": "nio_nat"},
        {"type": "nio_unix", "local_file": "/tmp/a", "remote_file": "/tmp/b"},
        {"type": "nio_vde", "control_file": "/tmp/a", "local_file": "/tmp/b"},
        {"type": "nio_vmnet", "vmnet": "vmnet1"},
        {"type": "nio_null"},
    ],
    ids=lambda nio: nio["type"],
)
def test_types_that_vpcs_does_not_know_are_a_conflict(server: Server, vm: str, nio: dict[str, Any]) -> None:
    """N-2, O-14."""
    refusal(plug(server, vm, nio), 409)


@pytest.mark.parametrize(("adapter", "port"), [("0", "1"), ("1", "0"), ("1", "1"), ("255", "255"), ("9" * 50, "0")])
def test_there_is_one_adapter_with_one_port(server: Server, vm: str, adapter: str, port: str) -> None:
    """N-3, N-6, B-23: for plugging and unplugging."""
    refusal(plug(server, vm, UDP, adapter, port), 409)
    refusal(server.http.delete(f"{vm}/adapters/{adapter}/ports/{port}/nio"), 409)
    refusal(server.http.post(f"{vm}/start"), 409)


@pytest.mark.parametrize("number", ["-1", "x", "0x0", "+0", "1.0", "", "%D9%A0", "0%20", "9" * 5000 + "x"])
def test_adapters_and_ports_are_decimal_digits(server: Server, vm: str, number: str) -> None:
    """Section 0: anything else is an unknown route."""
    for path in (f"{vm}/adapters/{number}/ports/0/nio", f"{vm}/adapters/0/ports/{number}/nio"):
        refusal(server.http.post(path, json=UDP), 404)
        refusal(server.http.delete(path), 404)


def test_adapters_and_ports_of_thousands_of_digits_are_no_crash(server: Server, vm: str) -> None:
    """N-3: Python refuses to read such a number."""
    reply = plug(server, vm, UDP, "9" * 5000)
    assert reply.status_code in (404, 409)
    refusal(reply, reply.status_code)


def test_leading_zeros_are_digits(server: Server, vm: str) -> None:
    """Section 0."""
    assert plug(server, vm, UDP, "00", "000").status_code in (201, 409)


@pytest.mark.parametrize(
    "rhost",
    [
        "256.1.1.1",
        "10.1.2.300",
        "::1",
        "fe80::1%lo",
        "255.255.255.255",
        "127.0.0.1 ",
        " 127.0.0.1",
        "a b",
        "-h",
        "--help",
        "1.2.3",
        "10.2",
        "1",
        "127.0.0.1\n",
        "127.0.0.1;ls",
        "1.2.3.4.5",
        "a\x00b",
        "a/b",
        "http://a",
        "é" * 300,
        "a" * 300,
        ".",
        "a..b",
    ],
)
def test_an_impossible_far_end_is_refused(server: Server, vm: str, rhost: str) -> None:
    """N-4, B-7: VPCS would silently take 127.0.0.1 for most of these."""
    refusal(plug(server, vm, {**UDP, "rhost": rhost}), 400)
    refusal(server.http.post(f"{vm}/start"), 409)


@pytest.mark.parametrize("rhost", ["nobody.invalid", "no-such-host.invalid"])
def test_a_far_end_that_cannot_be_resolved_is_a_conflict(server: Server, vm: str, rhost: str) -> None:
    """N-4."""
    refusal(plug(server, vm, {**UDP, "rhost": rhost}), 409)


def test_a_name_is_echoed_and_its_number_goes_to_vpcs(server: Server, vm: str) -> None:
    """N-4, Q-6."""
    port = server.udp[0]
    nio = {**UDP, "lport": port, "rhost": "localhost"}
    assert shown(plug(server, vm, nio), 201)["rhost"] == "localhost"
    nothing(server.http.post(f"{vm}/start"))
    (pid,) = server.children()
    arguments = command_line(pid)
    assert arguments[arguments.index("-t") + 1] == "127.0.0.1"
    assert arguments[arguments.index("-s") + 1] == str(port)
    assert arguments[arguments.index("-c") + 1] == "9001"


def test_a_second_link_replaces_the_first_at_the_next_start(server: Server, vm: str) -> None:
    """N-5: the running VM goes on as it is."""
    first, second = server.udp[0], server.udp[0] + 1
    assert server.link(vm, first, 9).status_code == 201
    nothing(server.http.post(f"{vm}/start"))
    (pid,) = server.children()
    assert server.link(vm, second, 9).status_code == 201
    assert server.children() == [pid]
    assert udp_ports_of(pid) == {first}
    nothing(server.http.post(f"{vm}/stop"))
    nothing(server.http.post(f"{vm}/start"))
    (pid,) = server.children()
    assert udp_ports_of(pid) == {second}


def test_an_lport_of_another_vm_is_a_conflict(server: Server, vm: str) -> None:
    """N-5, B-2: the one who has it keeps it."""
    other = server.vm(server.project())
    assert server.link(other, 9000, 9).status_code == 201
    refusal(server.link(vm, 9000, 10), 409)
    refusal(server.http.post(f"{vm}/start"), 409)
    nothing(server.http.delete(other))
    assert server.link(vm, 9000, 10).status_code == 201


def test_unplugging_takes_the_link_away_and_may_be_repeated(server: Server, vm: str) -> None:
    """N-6, S-1."""
    nothing(server.http.delete(f"{vm}/adapters/0/ports/0/nio"))
    assert server.link(vm, 9000, 9).status_code == 201
    nothing(server.http.delete(f"{vm}/adapters/0/ports/0/nio"))
    nothing(server.http.delete(f"{vm}/adapters/0/ports/0/nio"))
    refusal(server.http.post(f"{vm}/start"), 409)


@pytest.mark.parametrize("device", ["tap0", "a" * 15, "br-lan.5"])
def test_a_tap_is_echoed(server: Server, vm: str, device: str) -> None:
    """N-7."""
    nio = {"type": "nio_tap", "tap_device": device}
    reply = plug(server, vm, nio)
    if reply.status_code != 403:
        assert shown(reply, 201) == nio


@pytest.mark.parametrize("device", ["a" * 16, "a/b", "../tap0", "é" * 8, "/"])
def test_a_tap_must_have_a_name_that_a_device_can_have(server: Server, vm: str, device: str) -> None:
    """N-7: at most 15 bytes, no slash."""
    refusal(plug(server, vm, {"type": "nio_tap", "tap_device": device}), 400)


def test_a_vm_on_a_tap_that_cannot_be_had_does_not_start(tmp_path: Path) -> None:
    """S-3, N-7: 204 would say that its link is up; the device here belongs to another kind of interface."""
    with running(tmp_path / "projects") as server:
        vm = server.vm(server.project())
        reply = plug(server, vm, {"type": "nio_tap", "tap_device": "lo"})
        if reply.status_code == 201:
            refusal(server.http.post(f"{vm}/start"), 409)
            assert shown(server.http.get(vm))["status"] == "stopped"
        else:
            refusal(reply, 403)
        assert server.children() == []


@needs_namespace
@needs_tun
def test_a_vm_runs_on_a_tap(tmp_path: Path) -> None:
    """N-7, S-3, S-4: the device appears when the VM starts; in a network namespace, so that the host keeps its own."""
    run_apart(__file__, str(tmp_path))


def _on_a_tap(tmp_path: Path) -> None:
    with running(tmp_path / "projects") as server:
        vm = server.vm(server.project())
        assert shown(plug(server, vm, TAP), 201) == TAP
        nothing(server.http.post(f"{vm}/start"))
        (pid,) = server.children()
        arguments = command_line(pid)
        assert "-e" in arguments
        assert arguments[arguments.index("-d") + 1] == "tap0"
        until(lambda: "tap0:" in Path("/proc/net/dev").read_text(), "the device tap0")
        nothing(server.http.post(f"{vm}/reload"))
        nothing(server.http.post(f"{vm}/stop"))
        until(lambda: "tap0:" not in Path("/proc/net/dev").read_text(), "the end of tap0")


if __name__ == "__main__":
    _on_a_tap(Path(sys.argv[1]))
