"""NIOs: which types there are, what a kind of VM takes, which ports it has (N-1 to N-3)."""

from typing import Any

import pytest

from labplane import NIO_TAP, NIO_UDP, Conflict
from labplane.net.nios import KNOWN_TYPES, check_port, check_type, nio_schema
from labplane.validation.named import NAMED
from labplane.validation.schemas import Schemas

UDP = {"type": "nio_udp", "lport": 1, "rhost": "a", "rport": 65535}


def complain(nio: Any) -> str | None:
    schemas = Schemas()
    schemas.add(NAMED)
    return schemas.compile(nio_schema({"nio_udp": NIO_UDP, "nio_tap": NIO_TAP}), "NIO").complaint(nio)


@pytest.mark.parametrize("nio", [UDP, {"type": "nio_tap", "tap_device": "tap0"}])
def test_a_complete_nio_is_fine(nio: Any) -> None:
    assert complain(nio) is None


@pytest.mark.parametrize(
    ("nio", "words"),
    [
        ({}, "lacks the required 'type'"),
        ([], "must be of type object, not array"),
        ({"type": "nio_carrier_pigeon"}, "'type' must be one of 'nio_generic_ethernet'"),
        ({"type": "nio_udp"}, "lacks the required 'lport', 'rhost', 'rport'"),
        ({**UDP, "lport": 0}, "'lport' must be at least 1"),
        ({**UDP, "rport": 65536}, "'rport' must be at most 65535"),
        ({**UDP, "lport": "1"}, "'lport' must be of type integer, not string"),
        ({**UDP, "rhost": ""}, "'rhost' must not be empty"),
        ({**UDP, "colour": "red"}, "unknown 'colour'; allowed are 'lport', 'rhost', 'rport', 'type'"),
        ({"type": "nio_tap", "tap_device": ""}, "'tap_device' must not be empty"),
    ],
)
def test_a_complaint_is_about_the_type_that_was_named(nio: Any, words: str) -> None:
    assert words in (complain(nio) or "")


@pytest.mark.parametrize("name", KNOWN_TYPES)
def test_a_known_type_that_the_kind_does_not_take_is_a_conflict_and_no_bad_request(name: str) -> None:
    """N-2, O-14."""
    if name in ("nio_udp", "nio_tap"):
        return check_type({"type": name}, "vpcs", {"nio_udp": {}, "nio_tap": {}})
    assert complain({"type": name, "anything": "goes"}) is None
    with pytest.raises(Conflict, match=f"vpcs does not support {name}; it takes nio_tap, nio_udp."):
        check_type({"type": name}, "vpcs", {"nio_udp": {}, "nio_tap": {}})
    return None


@pytest.mark.parametrize(
    ("port", "adapters", "words"),
    [
        ((1, 0), (1,), "PC has no adapter 1; it has adapter 0."),
        ((2, 0), (1, 1), "PC has no adapter 2; it has adapters 0 to 1."),
        ((0, 0), (), "PC has no adapter 0; it has no adapters."),
        ((0, 1), (1,), "PC has no port 1 on adapter 0; it has port 0."),
        ((1, 4), (1, 4), "PC has no port 4 on adapter 1; it has ports 0 to 3."),
        ((0, 0), (0,), "PC has no port 0 on adapter 0; it has no ports."),
        ((10**30, 0), (1,), "it has adapter 0."),
    ],
)
def test_a_port_that_the_vm_lacks_is_a_conflict_that_says_which_it_has(
    port: tuple[int, int], adapters: tuple[int, ...], words: str
) -> None:
    """N-3."""
    with pytest.raises(Conflict) as caught:
        check_port(port, adapters, "PC")
    assert words in str(caught.value)


def test_every_port_of_the_vm_is_fine() -> None:
    for port in ((0, 0), (1, 0), (1, 3)):
        check_port(port, (1, 4), "PC")


def test_a_kind_may_take_no_nio_at_all() -> None:
    assert Schemas().compile(nio_schema({}), "NIO").complaint({"type": "nio_udp"}) is None
    with pytest.raises(Conflict, match=r"quiet does not support nio_udp; it takes none\."):
        check_type({"type": "nio_udp"}, "quiet", {})
