"""The built-in PC says what VPCS says: the same lines as typed at 0.8.3 once, and at the programs of this host now."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from labplane_pc import Link
from pcs import Wire
from real_vpcs import RealPC, installed, newer, two_ports, version_of

ANSWERS = Path(__file__).with_name("answers-0.8.3.jsonl").read_text(encoding="utf-8")
RECORDED = [tuple(json.loads(line)) for line in ANSWERS.splitlines()]
PARTS = list(dict.fromkeys(part for part, _, _ in RECORDED))

# Where the built-in PC answers something else, and why.
DIFFERENT = {
    "set lport 99": "the link is the server's",
    "set rport 99": "the link is the server's",
    "set rhost foo": "the link is the server's",
    "set echo color red": "left out",
    "show echo": "it has no color to show",
    "echo": "the recorded one had been given a color",
    "echo a   b  c": "the recorded one had been given a color",
    "set dump mac": "left out",
    "relay show": "left out",
    "rlogin foo": "left out",
    "rlogin 1.2.3.4 foo": "left out",
    "rlogin": "left out",
    "show ip 2": "VPCS shows memory of a PC that it has not",
    "show version": "it says what it is",
    "version": "it says what it is",
    "version ?": "it says what it is",
    "ver": "it says what it is",
    "v": "it says what it is",
    "neighbor": "it learns from solicitations as well (RFC 4861 7.2.3)",
}

LINES: list[str | bytes] = [
    "show",
    "show ip",
    "sh ip",
    "ip 10.0.0.1/24 10.0.0.254",
    "ip 10.0.0.1/24 10.0.0.1",
    "ip 10.0.0.255/24",
    "ip 300.1.1.1",
    "ping 10.0.0.2 -c 2 -i 10",
    "ping 10.0.0.1 -c 1",
    "ping 10.0.0.9 -c 1",
    "ping 10.0.0.2 -P 17 -c 1",
    "ping 10.0.0.2 -P 6 -c 1",
    "ping 10.0.0.2 -l 2000 -c 1",
    "trace 10.0.0.2",
    "trace 10.0.0.2 -P 1",
    "arp",
    "ip 2001:db8::1/64",
    "show ipv6",
    "ping 2001:db8::2 -c 1",
    "clear arp",
    "clear ip",
    "clear ipv6",
    "set pcname PC-A",
    "foo",
    "tracert 1.2.3.4",
    "echo hi there",
    "load nofile",
    "disconnect",
    "history",
    "save",
    b"pi\x7fshow\x1b[D\x1b[D\x1b[C\x03",
    b"\x1b[A\x1b[A\x1b[B\x03",
    b"sh\x1b[A\x1b[A\x1b[1~\x1b[4~\x03",
]


def normalised(output: bytes) -> str:
    """An answer without what differs from run to run: times, ports, seconds."""
    text = output.decode("latin-1")
    text = re.sub(r"\d+\.\d{3} ms", "T ms", text)
    text = re.sub(r"expires in \d+ seconds", "expires in N seconds", text)
    text = re.sub(r"(LPORT +: )\d+", r"\1N", text)
    text = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:N", text)
    return re.sub(r"(:\d\d  )\d{5}(  )", r"\1NNNNN\2", text)


def as_old(text: str) -> str:
    """An answer of 0.8.3 in the form that 0.5b2 has."""
    text = re.sub(r"(ping [^:\r]*\r\n)\r\n(?=[\d*hC])", r"\1", text)
    text = re.sub(r"\d+ bytes from ", "", text)
    text = re.sub(r"VPCS : |PC-A : ", "PC1 : ", text).replace("Saving startup configuration to startup.vpc\r\n", "")
    return re.sub(r"MTU:? +: ?\d*", "MTU : N", text).replace("DNS               : \r\n", "")


@pytest.fixture
def wire(tmp_path: Path) -> Iterator[Wire]:
    with Wire(tmp_path) as wire:
        yield wire


@pytest.mark.parametrize("part", PARTS)
def test_each_line_is_answered_byte_for_byte_as_recorded(wire: Wire, part: str) -> None:
    one, two = wire.pc(0, Link(30000, "127.0.0.1", 30001)), wire.pc(1)
    two.type("ip 10.0.0.2/24")
    two.type("ip 2001:db8::2/64")
    if part in ("set up", "help"):
        one.type("ip 10.0.0.1/24 10.0.0.254")
        one.type("ip 2001:db8::1/64")
    wrong = []
    for line, expected in [(line, answer.encode()) for of, line, answer in RECORDED if of == part]:
        answer = one.type(line)
        if line not in DIFFERENT and normalised(answer) != normalised(expected):
            wrong.append((line, normalised(expected), normalised(answer)))
    assert wrong == []


def same(text: str) -> str:
    return text


@pytest.mark.parametrize(
    ("command", "form"), [(newer(), same), (installed(), as_old)], ids=["VPCS 0.8.3", "the installed VPCS"]
)
def test_each_line_is_answered_as_by_the_program(
    wire: Wire,
    tmp_path: Path,
    command: list[str] | None,
    form: Callable[[str], str],
) -> None:
    if command is None:
        pytest.skip("this program is not here; the recorded answers serve")
    if version_of(command).startswith("0.8"):
        form = same
    built_in, other = wire.pc(0, Link(30000, "127.0.0.1", 30001)), wire.pc(1)
    lport, rport = two_ports()
    places = [tmp_path / "one", tmp_path / "two"]
    for place in places:
        place.mkdir()
    wrong = []
    with RealPC(command, 0, lport, rport, places[0]) as real, RealPC(command, 1, rport, lport, places[1]) as its_peer:
        for peer in (other, its_peer):
            peer.type("ip 10.0.0.2/24")
            peer.type("ip 2001:db8::2/64")
        for line in LINES:
            expected, answer = form(normalised(real.type(line))), form(normalised(built_in.type(line)))
            if answer != expected:
                wrong.append((line, expected, answer))
    assert wrong == []
    assert (places[0] / "startup.vpc").read_text() == (built_in.directory / "startup.vpc").read_text()
