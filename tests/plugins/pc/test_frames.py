"""Whatever comes in: nothing raises, and no table grows without bound."""

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from labplane_pc import arp, icmp, icmpv6, ipv4, ipv6, tcp, udp
from labplane_pc.ethernet import BROADCAST, IPV4, IPV6
from pcs import OUI, Station, Wire

RANDOM_FRAMES = int(os.environ.get("LABPLANE_FRAMES", "100000"))
MINE, THEIRS = bytes((10, 0, 0, 1)), bytes((10, 0, 0, 2))
MINE6, THEIRS6 = bytes.fromhex("20010db8" + "0" * 23 + "1"), bytes.fromhex("20010db8" + "0" * 23 + "2")
MAC, OTHER = OUI + b"\0", OUI + b"\1"
HEAD4, HEAD6 = MAC + OTHER + IPV4, MAC + OTHER + IPV6


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    with Wire(tmp_path) as wire:
        station = wire.pc()
        station.type("ip 10.0.0.1/24 10.0.0.254")
        station.type("ip 2001:db8::1/64")
        wire.settle(5)
        yield station


def four(protocol: int, body: bytes, *, ident: int = 1, flags: int = 0, ttl: int = 64, source: bytes = THEIRS) -> bytes:
    return HEAD4 + ipv4.build(source, MINE, protocol, body, ttl=ttl, ident=ident, flags=flags)


def six(protocol: int, body: bytes, source: bytes = THEIRS6, target: bytes = MINE6, hops: int = 64) -> bytes:
    return HEAD6 + ipv6.build(source, target, protocol, body, hops)


def valid_frames(chance: random.Random) -> Iterator[bytes]:
    """200 frames of every protocol that the PC knows."""
    for number in range(20):
        data = chance.randbytes(number * 3)
        yield arp.request(OTHER, THEIRS, MINE)
        yield four(icmp.PROTOCOL, icmp.build(icmp.ECHO, 0, 1, number, data))
        yield four(udp.PROTOCOL, udp.build(5000 + number, 7, data, THEIRS, MINE), ident=number)
        yield four(tcp.PROTOCOL, tcp.build(tcp.Segment(4000, 7, number, 0, tcp.SYN, b""), THEIRS, MINE))
        yield four(icmp.PROTOCOL, icmp.build(icmp.ECHO, 0, 1, 1, bytes(16)), flags=ipv4.MORE_FRAGMENTS, ident=number)
        yield six(icmpv6.PROTOCOL, icmpv6.build(icmpv6.ECHO, 0, number, data, THEIRS6, MINE6))
        yield six(udp.PROTOCOL, udp.build(5000, 7, data, THEIRS6, MINE6))
        solicitation = MINE6 + icmpv6.link_layer(icmpv6.SOURCE_LINK_LAYER, OTHER)
        yield six(
            icmpv6.PROTOCOL,
            icmpv6.build(icmpv6.NEIGHBOUR_SOLICITATION, 0, 0, solicitation, THEIRS6, MINE6),
            hops=255,
        )
        prefix = bytes((3, 4, 64, 0xC0)) + b"\0\1\0\0" * 2 + bytes(4) + MINE6[:8] + bytes(8)
        router = b"\xfe\x80" + bytes(13) + b"\1"
        advertisement = icmpv6.build(icmpv6.ROUTER_ADVERTISEMENT, 0, 0x40000708, bytes(8) + prefix, router, MINE6)
        yield six(icmpv6.PROTOCOL, advertisement, source=router, hops=255)
        yield six(ipv6.FRAGMENT, bytes((icmpv6.PROTOCOL, 0, 0, 1)) + number.to_bytes(4, "big") + bytes(16))


def is_bounded(station: Station) -> bool:
    host = station.pc.host
    sizes = (host.four.sizes(), host.six.sizes())
    return all(near <= 32 and pieces <= 16 and connections <= 64 for near, pieces, connections in sizes)


def test_each_byte_of_each_kind_of_frame_may_be_any_other(station: Station) -> None:
    chance = random.Random(1)  # noqa: S311
    frames = list(valid_frames(chance))
    assert len(frames) == 200
    for frame in frames:
        station.pc.receive(frame, station.wire.now)
        for place in range(len(frame)):
            mutant = bytearray(frame)
            mutant[place] ^= chance.randrange(1, 256)
            station.pc.receive(bytes(mutant), station.wire.now)
    assert is_bounded(station)
    assert b"84 bytes from" not in station.taken()


def test_frames_may_be_cut_off_anywhere_and_be_longer_than_they_say(station: Station) -> None:
    for frame in valid_frames(random.Random(2)):  # noqa: S311
        for length in range(len(frame)):
            station.pc.receive(frame[:length], station.wire.now)
        station.pc.receive(frame + bytes(2000), station.wire.now)
        station.pc.receive(frame + bytes(70000), station.wire.now)
    assert is_bounded(station)


def test_random_frames_that_look_like_the_right_protocols_do_no_harm(station: Station) -> None:
    chance = random.Random(3)  # noqa: S311
    heads = (HEAD4, HEAD6, MAC + OTHER + b"\x08\x06", BROADCAST + OTHER + IPV4, b"\x33\x33\0\0\0\1" + OTHER + IPV6, b"")
    for _ in range(RANDOM_FRAMES):
        frame = chance.choice(heads) + chance.randbytes(chance.randrange(120))
        station.pc.receive(frame, station.wire.now)
    assert is_bounded(station)


def test_forged_senders_fill_no_table_beyond_its_bounds(station: Station) -> None:
    for number in range(1000):
        source = bytes((10, 0, 0, number % 250 + 2))
        source6 = THEIRS6[:14] + number.to_bytes(2, "big")
        mac = OTHER[:4] + number.to_bytes(2, "big")
        station.pc.receive(arp.request(mac, source, MINE), station.wire.now)
        segment = tcp.Segment(number + 1, 7, 1, 0, tcp.SYN, b"")
        station.pc.receive(four(tcp.PROTOCOL, tcp.build(segment, source, MINE), source=source), station.wire.now)
        station.pc.receive(four(udp.PROTOCOL, bytes(8), flags=ipv4.MORE_FRAGMENTS, ident=number), station.wire.now)
        body = MINE6 + icmpv6.link_layer(icmpv6.SOURCE_LINK_LAYER, mac)
        message = icmpv6.build(icmpv6.NEIGHBOUR_SOLICITATION, 0, 0, body, source6, MINE6)
        station.pc.receive(six(icmpv6.PROTOCOL, message, source=source6, hops=255), station.wire.now)
    four_sizes, six_sizes = station.pc.host.four.sizes(), station.pc.host.six.sizes()
    assert four_sizes == (32, 16, 64)
    assert six_sizes[0] == 32


def test_fragments_that_never_become_whole_are_forgotten_and_answered_after_30_seconds(station: Station) -> None:
    station.wire.frames.clear()
    body = icmp.build(icmp.ECHO, 0, 1, 1, bytes(64))
    station.pc.receive(four(icmp.PROTOCOL, body[:32], flags=ipv4.MORE_FRAGMENTS), station.wire.now)
    station.wire.settle(29)
    assert station.pc.host.four.sizes()[1] == 1
    station.wire.settle(2)
    assert station.pc.host.four.sizes()[1] == 0
    (error,) = station.wire.frames
    assert error[34:36] == bytes((icmp.TIME_EXCEEDED, icmp.REASSEMBLY_TIME))


def test_fragments_that_overlap_are_thrown_away(station: Station) -> None:
    station.wire.frames.clear()
    body = icmp.build(icmp.ECHO, 0, 1, 1, bytes(32))
    for offset, part, more in ((0, body[:24], True), (2, body[16:32], True), (4, body[32:], False)):
        flags = offset | (ipv4.MORE_FRAGMENTS if more else 0)
        station.pc.receive(four(icmp.PROTOCOL, part, flags=flags), station.wire.now)
    station.wire.deliver()
    assert not station.wire.frames


def test_fragments_in_any_order_are_answered_as_one_packet(station: Station) -> None:
    station.wire.frames.clear()
    whole = ipv4.build(THEIRS, MINE, icmp.PROTOCOL, icmp.build(icmp.ECHO, 0, 1, 1, bytes(4000)), ttl=64, ident=9)
    for piece in reversed(list(ipv4.fragments(whole, 1500))):
        station.pc.receive(HEAD4 + piece, station.wire.now)
    sizes = [len(frame) - 14 for frame in station.wire.frames]
    assert sizes == [1500, 1500, 1068]


def test_a_damaged_packet_is_not_answered(station: Station) -> None:
    station.wire.frames.clear()
    good = four(icmp.PROTOCOL, icmp.build(icmp.ECHO, 0, 1, 1, b"data"))
    station.pc.receive(good[:-1] + b"b", station.wire.now)
    assert not station.wire.frames
    station.pc.receive(good, station.wire.now)
    assert len(station.wire.frames) == 1


def test_a_forged_datagram_does_not_go_back_and_forth_for_ever(tmp_path: Path) -> None:
    with Wire(tmp_path) as wire:
        one, two = wire.pc(0), wire.pc(1)
        one.type("ip 10.0.0.1/24")
        two.type("ip 10.0.0.2/24")
        wire.frames.clear()
        wire.send(None, four(udp.PROTOCOL, udp.build(5000, 6000, b"for ever", THEIRS, MINE)))
        wire.settle(5)
        assert len(wire.frames) < 10


def test_errors_are_answered_with_none_and_nor_are_broadcasts(station: Station) -> None:
    station.wire.frames.clear()
    inner = four(99, b"x")[14:]
    for frame in (
        four(icmp.PROTOCOL, icmp.build(icmp.UNREACHABLE, 3, 0, 0, inner)),
        BROADCAST + four(99, b"x")[6:],
        four(99, b"x", source=bytes((224, 0, 0, 1))),
        four(99, b"x" * 8, flags=4),
    ):
        station.pc.receive(frame, station.wire.now)
    assert not station.wire.frames
    station.pc.receive(four(99, b"x"), station.wire.now)
    assert station.wire.frames[0][34:36] == bytes((icmp.UNREACHABLE, icmp.PROTOCOL_UNREACHABLE))
