"""The built-in PC with the network stack of Linux at the other end of a tap device, and with dnsmasq there.

It needs a network namespace and root in it, so this file is then run as a program.
"""

import re
import shutil
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from expect import nothing, shown
from namespaces import needs_namespace, needs_tun, run_apart
from support import Server, Viewer, running, until

pytestmark = [needs_namespace, needs_tun]


def test_a_built_in_pc_and_linux_reach_each_other(tmp_path: Path) -> None:
    run_apart(__file__, "linux", str(tmp_path))


@pytest.mark.skipif(shutil.which("dnsmasq") is None, reason="dnsmasq is not installed")
def test_a_built_in_pc_gets_a_lease_a_name_and_an_ipv6_prefix_from_dnsmasq(tmp_path: Path) -> None:
    run_apart(__file__, "dnsmasq", str(tmp_path))


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def started(server: Server) -> Viewer:
    """A viewer at the prompt of a PC on tap0, at whose other end Linux has 10.0.0.1 and 2001:db8::1."""
    run("ip", "tuntap", "add", "tap0", "mode", "tap")
    run("ip", "link", "set", "tap0", "up")
    run("ip", "address", "add", "10.0.0.1/24", "dev", "tap0")
    run("ip", "address", "add", "2001:db8::1/64", "dev", "tap0", "nodad")
    vm = server.vm(server.project(), engine="builtin")
    shown(server.http.post(f"{vm}/adapters/0/ports/0/nio", json={"type": "nio_tap", "tap_device": "tap0"}), 201)
    nothing(server.http.post(f"{vm}/start"))
    viewer = Viewer(shown(server.http.get(vm))["console"])
    viewer.until(b"> ")
    return viewer


def answer(viewer: Viewer, line: str) -> bytes:
    viewer.type(line)
    viewer.until(line.encode())
    return viewer.until(b"> ")


def with_linux(directory: Path) -> None:
    with running(directory / "projects") as server, started(server) as pc:
        answer(pc, "ip 10.0.0.2/24 10.0.0.1")
        answer(pc, "ip 2001:db8::2/64")
        for line, words in (
            ("ping 10.0.0.1 -c 2", rb"84 bytes from 10.0.0.1 icmp_seq=2 ttl=64"),
            ("ping 10.0.0.1 -c 1 -l 8000", rb"8028 bytes from 10.0.0.1 icmp_seq=1"),
            ("ping 10.0.0.1 -c 1 -P 6", rb"Connect   7@10.0.0.1 RST returned"),
            ("ping 10.0.0.1 -c 1 -P 17", rb"type:3, code:3, Destination port unreachable"),
            ("trace 10.0.0.1", rb" 1   \*10.0.0.1 .* port unreachable"),
            ("ping 2001:db8::1 -c 2", rb"2001:db8::1 icmp6_seq=2 ttl=64"),
            ("ping 2001:db8::1 -c 1 -l 8000", rb"2001:db8::1 icmp6_seq=1 ttl=64"),
            ("ping fe80::1 -c 1", rb"not reachable"),
            ("trace 2001:db8::1", rb" 1 2001:db8::1   \d.* ms  \d.* ms  \d.* ms"),
        ):
            said = answer(pc, line)
            assert re.search(words, said, re.DOTALL), (line, said)
        if shutil.which("ping"):
            for address, size in (
                ("10.0.0.2", "56"),
                ("10.0.0.2", "4000"),
                ("2001:db8::2", "56"),
                ("2001:db8::2", "4000"),
            ):
                assert " 0% packet loss" in run("ping", "-c", "3", "-i", "0.2", "-s", size, address)
        connected(("10.0.0.2", 7))
        connected(("2001:db8::2", 80, 0, 0))
        run("ip", "address", "add", "10.0.0.3/24", "dev", "tap0")
        assert b"10.0.0.3 is being used by MAC" in answer(pc, "ip 10.0.0.3/24")


def connected(address: tuple[object, ...]) -> None:
    """Connect to a PC, send something, and see the connection closed in order."""
    family = socket.AF_INET if len(address) == 2 else socket.AF_INET6
    with socket.socket(family) as end:
        end.settimeout(60)
        end.connect(address)
        end.sendall(b"data")
        end.shutdown(socket.SHUT_WR)
        assert end.recv(10) == b""


def with_dnsmasq(directory: Path) -> None:
    with running(directory / "projects") as server, started(server) as pc:
        command = [
            "dnsmasq",
            "--keep-in-foreground",
            "--conf-file=/dev/null",
            "--no-resolv",
            "--no-hosts",
            "--interface=tap0",
            "--bind-interfaces",
            "--dhcp-range=10.0.0.50,10.0.0.60,2m",
            "--dhcp-range=2001:db8::,ra-only,64,2m",
            "--enable-ra",
            "--domain=lab.example",
            "--address=/server.lab.example/10.0.0.1",
            f"--dhcp-leasefile={directory}/leases",
            f"--pid-file={directory}/pid",
            "--user=root",
        ]
        dnsmasq = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            until(lambda: (directory / "pid").exists(), "dnsmasq")
            said = answer(pc, "dhcp")
            assert re.search(rb"D{1,3}OR+A IP 10\.0\.0\.(5\d|60)/24 GW 10\.0\.0\.1\r\n", said), said
            shown_ip = answer(pc, "show ip")
            assert b"DHCP SERVER : 10.0.0.1" in shown_ip
            assert b"DOMAIN NAME : lab.example" in shown_ip
            assert b"DHCP LEASE  : 1" in shown_ip
            assert b"resolved to server.lab.example(10.0.0.1)" in answer(pc, "ping server -c 1")
            assert b"GLOBAL SCOPE      : 2001:db8::2050:79ff:fe66:" in answer(pc, "ip auto")
            assert b"icmp6_seq=1 ttl=64" in answer(pc, "ping 2001:db8::1 -c 1")
            assert b"A IP 10.0.0." in answer(pc, "dhcp -r")
            answer(pc, "dhcp -x")
            until(lambda: not (directory / "leases").read_text().count(" 10.0.0."), "the end of the lease")
        finally:
            dnsmasq.terminate()
            with suppress(subprocess.TimeoutExpired):
                dnsmasq.wait(10)


if __name__ == "__main__":
    {"linux": with_linux, "dnsmasq": with_dnsmasq}[sys.argv[1]](Path(sys.argv[2]))
