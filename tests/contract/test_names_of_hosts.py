"""A name means all its addresses, and long connections are kept alive."""

import os
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest
from websockets.sync.client import connect

from machines import linked, start
from support import DEADLINE, Viewer, running, until

HOSTS = "127.0.0.1 localhost lab\n::1 localhost lab\n127.0.0.2 lab\n"
KEEPALIVE_TIMER = "02"


@pytest.fixture
def named(tmp_path: Path) -> list[str]:
    """A command in front of a server for which `localhost` has two addresses and `lab` three."""
    hosts = tmp_path / "hosts"
    hosts.write_text(HOSTS)
    for way in (["unshare", "--mount"], ["unshare", "--user", "--map-root-user", "--mount"]):
        within = [*way, "sh", "-c", f'mount --bind {hosts} /etc/hosts && exec "$@"', "sh"]
        if subprocess.run([*within, "true"], capture_output=True, check=False).returncode == 0:
            return within
    if os.environ.get("CI"):
        pytest.fail("no mount namespace can be made here")
    pytest.skip("no mount namespace can be made here")


def ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


def addresses(name: str) -> list[str]:
    """The addresses of HOSTS that this host has."""
    found = [line.split()[0] for line in HOSTS.splitlines() if name in line.split()[1:]]
    return [address for address in found if ":" not in address or ipv6()]


@pytest.mark.parametrize("name", ["localhost", "lab"])
def test_a_server_and_its_consoles_listen_on_every_address_of_a_name(
    name: str, named: list[str], tmp_path: Path
) -> None:
    (tmp_path / "labplane.toml").write_text(f'console_host = "{name}"\ninsecure_consoles = true\n')
    options = ("--config", str(tmp_path / "labplane.toml"), "--host", name, "--insecure")
    with running(tmp_path / "projects", *options, within=named) as server:
        assert len(addresses(name)) >= 1
        for address in addresses(name):
            host = f"[{address}]" if ":" in address else address
            assert httpx2.get(f"http://{host}:{server.port}/v1/version", trust_env=False).status_code == 200
        vm = linked(server, server.project())
        start(server, vm)
        for address in addresses(name):
            with Viewer(server.consoles[0], address) as viewer:
                viewer.until(b"VPCS> ")
        assert server.http.post(f"{vm}/stop").status_code == 204
        for address in addresses(name):
            with pytest.raises(ConnectionRefusedError):
                Viewer(server.consoles[0], address)


def test_a_name_without_an_address_is_told_in_one_sentence(tmp_path: Path) -> None:
    with (
        pytest.raises(AssertionError, match=r"cannot listen on no-such-host\.invalid port 0"),
        running(tmp_path / "projects", "--host", "no-such-host.invalid", "--insecure"),
    ):
        pass


def timers(port: int) -> list[tuple[str, float]]:
    """The timers of the server's connections at `port`: kind and seconds until it goes off (man 5 proc, net/tcp)."""
    found = []
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        columns = line.split()
        if columns[1].endswith(f":{port:04X}") and columns[3] == "01":
            kind, when = columns[5].split(":")
            found.append((kind, int(when, 16) / os.sysconf("SC_CLK_TCK")))
    return found


@pytest.mark.parametrize("door", ["telnet", "http", "websocket"])
def test_an_idle_connection_is_probed_within_the_setting(door: str, tmp_path: Path) -> None:
    (tmp_path / "labplane.toml").write_text("keepalive_seconds = 37\n")
    with running(tmp_path / "projects", "--config", str(tmp_path / "labplane.toml")) as server:
        vm = linked(server, server.project())
        start(server, vm)
        server.http.close()

        def probed(port: int) -> Callable[[], bool]:
            return lambda: [kind for kind, left in timers(port) if kind == KEEPALIVE_TIMER and 0 < left <= 37] != []

        if door == "telnet":
            with Viewer(server.consoles[0]) as viewer:
                viewer.until(b"VPCS> ")
                until(probed(server.consoles[0]), "a timer of the viewer's connection")
        elif door == "http":
            with socket.create_connection(("127.0.0.1", server.port)) as client:
                client.sendall(b"GET /v1/version HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert client.recv(4096)
                until(probed(server.port), "a timer of the client's connection")
        else:
            url = f"ws://127.0.0.1:{server.port}{vm}/console"
            with connect(url, open_timeout=DEADLINE, proxy=None) as browser:
                browser.recv(timeout=DEADLINE)
                until(probed(server.port), "a timer of the browser's connection")
