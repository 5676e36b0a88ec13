"""What a PC does: addresses, leases, names, interrupts, files."""

import os
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from labplane_pc import Link, dhcp, dns, icmpv6, ipv4, ipv6, udp
from labplane_pc.editor import LONGEST_LINE
from labplane_pc.ethernet import IPV4, IPV6
from pcs import OUI, Wire

SERVER, SERVER_MAC = bytes((10, 0, 0, 254)), OUI + b"\xfe"


@pytest.fixture
def wire(tmp_path: Path) -> Iterator[Wire]:
    with Wire(tmp_path) as wire:
        yield wire


class Server:
    """A DHCP and DNS server on the wire. requests: the kinds of the messages that came; silent: it answers nothing."""

    def __init__(self, lease: int = 1000) -> None:
        self.requests: list[int] = []
        self.silent = False
        self._lease = lease

    def __call__(self, frame: bytes) -> bytes | None:
        if frame[12:14] == b"\x08\x06" and frame[20:22] == b"\0\1" and frame[38:42] == SERVER and not self.silent:
            return frame[6:12] + SERVER_MAC + frame[12:21] + b"\2" + SERVER_MAC + SERVER + frame[22:32]
        if frame[12:14] != IPV4 or frame[23] != udp.PROTOCOL:
            return None
        source, target = frame[26:30], frame[30:34]
        datagram = udp.parse(frame[34:], source, target)
        if datagram is None:
            return None
        body = None
        if datagram.target == dhcp.SERVER_PORT:
            body = self._dhcp(datagram.body)
            source, target = SERVER, b"\xff" * 4
        elif datagram.target == dns.PORT:
            body = self._dns(datagram.body)
            source, target = target, source
        if body is None or self.silent:
            return None
        packet = udp.build(datagram.target, datagram.source, body, source, target)
        return frame[6:12] + SERVER_MAC + IPV4 + ipv4.build(source, target, udp.PROTOCOL, packet, ttl=64, ident=1)

    def _dhcp(self, data: bytes) -> bytes | None:
        message = dhcp.parse(data)
        assert message is not None
        self.requests.append(message.kind)
        kind = {dhcp.DISCOVER: dhcp.OFFER, dhcp.REQUEST: dhcp.ACK}.get(message.kind)
        if kind is None:
            return None
        reply = dhcp.build(
            kind,
            message.xid,
            message.mac,
            bytes(4),
            {
                dhcp.SERVER: SERVER,
                dhcp.MASK: b"\xff\xff\xff\0",
                dhcp.ROUTERS: SERVER,
                dhcp.DNS: SERVER,
                dhcp.DOMAIN: b"lab.example",
                dhcp.LEASE: struct.pack("!I", self._lease),
            },
        )
        return b"\2" + reply[1:16] + bytes((10, 0, 0, 50)) + reply[20:]

    def _dns(self, question: bytes) -> bytes:
        (kind,) = struct.unpack_from("!H", question, len(question) - 4)
        head = question[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + question[12:]
        if kind == dns.AAAA:
            return question[:2] + b"\x81\x80\0\1\0\0\0\0\0\0" + question[12:]
        return head + b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4" + SERVER


def test_a_lease_is_got_shown_saved_and_released(wire: Wire) -> None:
    server = Server()
    wire.taps.append(server)
    pc = wire.pc()
    assert pc.type("dhcp") == b"dhcp\r\nDORA IP 10.0.0.50/24 GW 10.0.0.254\r\n\r\n\rVPCS> "
    shown = pc.type("show ip")
    assert b"DHCP SERVER : 10.0.0.254\r\nDHCP LEASE  : 999, 1000/500/875\r\nDOMAIN NAME : lab.example\r\n" in shown
    pc.type("save")
    assert (pc.directory / "startup.vpc").read_text() == "set pcname VPCS\ndhcp\n"
    assert pc.type("dhcp -x") == b"dhcp -x\r\n\r\n\rVPCS> "
    assert server.requests[-1] == dhcp.RELEASE
    assert b"IP/MASK     : 0.0.0.0/0" in pc.type("show ip")


def test_a_lease_is_renewed_then_rebound_then_given_up(wire: Wire) -> None:
    server = Server()
    wire.taps.append(server)
    pc = wire.pc()
    pc.type("dhcp")
    server.requests.clear()
    wire.settle(600)
    assert server.requests == [dhcp.REQUEST]
    server.requests.clear()
    server.silent = True
    pc.pc.host.four.neighbours.clear()
    wire.settle(900)
    assert server.requests, "nobody was asked to rebind"
    wire.settle(300)
    assert b"IP/MASK     : 0.0.0.0/0" in pc.type("show ip")


def test_without_a_server_dhcp_says_so_after_three_tries(wire: Wire) -> None:
    assert wire.pc().type("dhcp") == b"dhcp\r\nDDD\r\nCan't find dhcp server\r\n\r\n\rVPCS> "


def test_a_name_is_looked_up_with_the_domain_behind_it(wire: Wire) -> None:
    wire.taps.append(Server())
    pc = wire.pc()
    pc.type("dhcp")
    assert b"gw resolved to gw.lab.example(10.0.0.254)\r\n\r\n" in pc.type("ping gw -c 1")


def test_dhcp_messages_are_shown_in_words(wire: Wire) -> None:
    wire.taps.append(Server())
    shown = wire.pc().type("dhcp -d")
    assert b"Opcode: 1 (REQUEST)\r\n" in shown
    assert b"Option 53: Message Type = Offer\r\n" in shown
    assert b"Option 51: Lease Time = 1000\r\n" in shown


def advertisement(prefix: str = "20010db8000000ff", flags: int = 0xC0, lifetime: int = 1800) -> bytes:
    """A router's advertisement of a prefix, as a frame."""
    router = ipv6.link_local(SERVER_MAC)
    options = icmpv6.link_layer(icmpv6.SOURCE_LINK_LAYER, SERVER_MAC)
    options += bytes((3, 4, 64, flags)) + b"\0\1\0\0" * 2 + bytes(4) + bytes.fromhex(prefix) + bytes(8)
    body = icmpv6.build(icmpv6.ROUTER_ADVERTISEMENT, 0, 64 << 24 | lifetime, bytes(8) + options, router, ipv6.ALL_NODES)
    packet = ipv6.build(router, ipv6.ALL_NODES, icmpv6.PROTOCOL, body, 255)
    return ipv6.multicast_mac(ipv6.ALL_NODES) + SERVER_MAC + IPV6 + packet


def test_ip_auto_takes_the_prefix_of_a_router(wire: Wire) -> None:
    pc = wire.pc()
    wire.taps.append(lambda frame: advertisement() if frame[54:55] == bytes((icmpv6.ROUTER_SOLICITATION,)) else None)
    assert pc.type("ip auto") == (
        b"ip auto\r\nGLOBAL SCOPE      : 2001:db8:0:ff:2050:79ff:fe66:6800/64\r\n"
        b"ROUTER LINK-LAYER : 00:50:79:66:68:fe\r\n\r\n\rVPCS> "
    )


@pytest.mark.parametrize("wrong", ["hops", "flags"])
def test_an_advertisement_that_a_router_forwarded_or_that_is_not_for_addresses_gives_none(
    wire: Wire, wrong: str
) -> None:
    pc = wire.pc()
    frame = bytearray(advertisement(flags=0x80 if wrong == "flags" else 0xC0))
    if wrong == "hops":
        frame[21] = 254
    pc.pc.receive(bytes(frame), wire.now)
    assert b"GLOBAL SCOPE      : \r\n" in pc.type("show ipv6")


def test_an_ipv6_address_that_another_has_is_given_up_with_a_word(wire: Wire) -> None:
    one, two = wire.pc(0), wire.pc(1)
    two.type("ip 2001:db8::1/64")
    wire.settle(3)
    one.pc.typed(b"ip 2001:db8::1/64\r", wire.now)
    wire.settle(3)
    assert b"2001:db8::1 is being used by MAC 00:50:79:66:68:01\r\nAddress not changed\r\n" in one.taken()
    assert b"GLOBAL SCOPE      : \r\n" in one.type("show ipv6")


def test_two_that_want_one_ipv4_address_at_once_both_do_without(wire: Wire) -> None:
    one, two = wire.pc(0), wire.pc(1)
    for station in (one, two):
        station.pc.typed(b"ip 10.0.0.1/24\r", wire.now)
    wire.settle(5)
    assert all(b"is being used by MAC" in station.taken() for station in (one, two))


def test_ctrl_c_ends_a_ping_and_what_was_typed_before_it(wire: Wire) -> None:
    one, two = wire.pc(0), wire.pc(1)
    one.type("ip 10.0.0.1/24")
    two.type("ip 10.0.0.2/24")
    one.taken()
    one.pc.typed(b"ping 10.0.0.2 -t\r", wire.now)
    wire.settle(3.5)
    assert one.taken().count(b"84 bytes from 10.0.0.2") == 4
    one.pc.typed(b"show\r", wire.now)
    one.pc.typed(b"\x03", wire.now)
    wire.settle(3)
    assert one.taken() == b"^C\r\n\rVPCS> "


def test_what_is_typed_while_a_command_runs_comes_after_it(wire: Wire) -> None:
    pc = wire.pc()
    answer = pc.type(b"sleep 2 wait\recho one\recho two\r" + b"1\r" * 1500)
    wire.settle(5)
    assert (answer + pc.taken()).startswith(
        b"sleep 2 wait\r\nwait \r\n\r\n\rVPCS> echo one\r\none\r\n\rVPCS> echo two\r\ntwo\r\n\rVPCS> "
    )


def test_the_startup_file_is_carried_out_at_the_start(wire: Wire, tmp_path: Path) -> None:
    (tmp_path / "pc0").mkdir()
    lines = "# a comment\nset pcname PC-A\nip 10.0.0.1/24\n" + "x" * (LONGEST_LINE + 1) + "\n"
    (tmp_path / "pc0" / "startup.vpc").write_text(lines)
    pc = wire.pc()
    printed = pc.taken()
    assert b"Press '?' to get help.\r\n\r\nExecuting the startup file\r\n\r\n\r\nChecking for duplicate" in printed
    assert b"Line 4 is left out" in printed
    assert b"PC-A : 10.0.0.1 255.255.255.0\r\n" in printed
    assert printed.endswith(b"\r\n\rPC-A> ")


def test_a_file_that_loads_itself_comes_to_an_end(wire: Wire, tmp_path: Path) -> None:
    pc = wire.pc()
    (pc.directory / "loop.vpc").write_text("load loop\nload loop\n")
    assert b"not carried out any deeper" in pc.type("load loop")


@pytest.mark.parametrize("name", ['"../outside"', '"/etc/passwd"', '".."', "link.vpc", "fifo.vpc"])
def test_files_outside_of_the_directory_are_neither_read_nor_written(wire: Wire, tmp_path: Path, name: str) -> None:
    outside = tmp_path / "outside.vpc"
    outside.write_text("set pcname gotcha\n")
    pc = wire.pc()
    (pc.directory / "link.vpc").symlink_to(outside)
    os.mkfifo(pc.directory / "fifo.vpc")
    assert b"Can't open" in pc.type(f"load {name}")
    pc.type(f"save {name}")
    assert outside.read_text() == "set pcname gotcha\n"
    assert pc.pc.name == "VPCS"


def test_a_lab_moves_to_another_pc_with_its_file(wire: Wire) -> None:
    one, two = wire.pc(0), wire.pc(1)
    for line in ("set pcname R1", "ip 10.0.0.1/26 10.0.0.62", "ip 2001:db8::5/64", "ip domain a.b", "ip dns 1.2.3.4"):
        one.type(line)
    one.type("set mtu 1400")
    one.type("save")
    saved = (one.directory / "startup.vpc").read_bytes()
    (two.directory / "x.vpc").write_bytes(saved)
    one.type("clear ip")
    one.type("clear ipv6")
    two.type("load x")
    two.type("save")
    assert (two.directory / "startup.vpc").read_bytes() == saved


def test_quit_ends_the_pc(wire: Wire) -> None:
    pc = wire.pc()
    assert pc.type("quit") == b"quit\r\n\r\n"
    assert pc.status == 0


def test_a_packet_beyond_the_mtu_is_refused_with_fragmentation_needed(wire: Wire) -> None:
    one, two = wire.pc(0), wire.pc(1)
    one.type("ip 10.0.0.1/24")
    two.type("ip 10.0.0.2/24")
    two.type("set mtu 600")
    assert b"(ICMP type:3, code:4, Fragmentation required, and DF flag set)" in one.type("ping 10.0.0.2 -c 1 -l 1000")


def test_an_ipv6_packet_too_big_lowers_the_mtu_of_its_way(wire: Wire) -> None:
    one, two = wire.pc(0), wire.pc(1)
    one.type("ip 2001:db8::1/64")
    two.type("ip 2001:db8::2/64")
    two.type("set mtu 1300")
    assert b"(new MTU 1300)" in one.type("ping 2001:db8::2 -c 1 -l 1400")
    assert one.type("ping 2001:db8::2 -c 1 -l 1400").endswith(b" ms\r\n\r\n\rVPCS> ")
    assert b" 1300\t" in one.type("show mtu6")


def test_arp_entries_are_forgotten_after_120_seconds(wire: Wire) -> None:
    one, two = wire.pc(0), wire.pc(1)
    one.type("ip 10.0.0.1/24")
    two.type("ip 10.0.0.2/24")
    one.type("ping 10.0.0.2 -c 1")
    assert b"00:50:79:66:68:01  10.0.0.2 expires in " in one.type("arp")
    wire.now += 120
    assert b"arp table is empty" in one.type("arp")


def test_a_pc_on_a_tap_device_shows_no_ports_in_its_table(wire: Wire) -> None:
    pc = wire.pc(0, Link(tap="tap7"))
    assert b"LPORT" not in pc.type("show")
    assert pc.pc.link.lport == 20000
