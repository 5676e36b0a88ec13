"""B-17: the configuration for nginx in docs/proxies.md, run by a real nginx in front of a real server."""

import contextlib
import json
import re
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
import trustme
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin

from machines import linked, start
from support import DEADLINE, Server, running, until

PAGE = (Path(__file__).parents[2] / "docs" / "proxies.md").read_text()
NAME = "lab.example.org"
MIB = 1024 * 1024


@dataclass
class Proxied:
    """A server with nginx in front of it: `http` goes through nginx."""

    server: Server
    port: int
    trust: ssl.SSLContext
    http: httpx2.Client

    @property
    def host(self) -> str:
        return f"{NAME}:{self.port}"


def configuration(folder: Path, port: int, upstream: int) -> str:
    """The documented block with the paths and ports of this test, in a whole file for nginx."""
    (block,) = re.findall(r"^```nginx\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    for documented, ours in (
        ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
        ("http://127.0.0.1:8000", f"http://127.0.0.1:{upstream}"),
        ("/etc/ssl/lab.example.org.pem", str(folder / "lab.pem")),
        ("/etc/ssl/lab.example.org.key", str(folder / "lab.key")),
    ):
        assert documented in block
        block = block.replace(documented, ours)
    places = "\n".join(
        f"{what}_temp_path {folder / what};" for what in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return (
        f"pid {folder / 'nginx.pid'};\nerror_log stderr;\ndaemon off;\nevents {{}}\n"
        f"http {{\naccess_log off;\n{places}\n{block}\n}}\n"
    )


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    nginx = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    assert nginx is not None, "nginx is not installed; apt-get install nginx"
    folder = tmp_path_factory.mktemp("nginx")
    authority = trustme.CA()
    certificate = authority.issue_cert(NAME, "127.0.0.1")
    certificate.cert_chain_pems[0].write_to_path(folder / "lab.pem")
    certificate.private_key_pem.write_to_path(folder / "lab.key")
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with running(tmp_path_factory.mktemp("proxied") / "projects", "--allow-host", NAME) as server:
        (folder / "nginx.conf").write_text(configuration(folder, port, server.port))
        with (folder / "nginx.log").open("wb") as log:
            process = subprocess.Popen([nginx, "-p", str(folder), "-c", str(folder / "nginx.conf")], stderr=log)
        try:
            until(lambda: _accepts(port) or process.poll() is not None, "nginx to listen")
            assert process.poll() is None, (folder / "nginx.log").read_text()
            headers = {"Host": f"{NAME}:{port}"}
            with httpx2.Client(
                base_url=f"https://127.0.0.1:{port}", verify=trust, headers=headers, timeout=DEADLINE, trust_env=False
            ) as http:
                yield Proxied(server, port, trust, http)
        finally:
            process.terminate()
            process.wait(DEADLINE)


def _accepts(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def test_a_page_of_the_proxys_name_may_ask_and_one_of_another_may_not(proxied: Proxied) -> None:
    own = proxied.http.post("/v1/projects", json={}, headers={"Origin": f"https://{proxied.host}"})
    assert own.status_code == 201, own.text
    foreign = proxied.http.post("/v1/projects", json={}, headers={"Origin": "https://evil.example"})
    assert foreign.status_code == 403
    assert "cors_origins" in foreign.json()["message"]


def test_a_console_works_through_it_and_a_foreign_page_gets_none(proxied: Proxied) -> None:
    vm = linked(proxied.server, proxied.server.project())
    start(proxied.server, vm)

    def view(origin: str) -> bytes:
        line = socket.create_connection(("127.0.0.1", proxied.port), DEADLINE)
        with connect(
            f"wss://{proxied.host}{vm}/console",
            sock=line,
            ssl=proxied.trust,
            origin=Origin(origin),
            open_timeout=DEADLINE,
        ) as console:
            console.send(b"\r")
            seen = b""
            while b"VPCS> " not in seen:
                piece = console.recv(timeout=DEADLINE)
                assert isinstance(piece, bytes)
                seen += piece
            return seen

    assert b"Welcome to Virtual PC Simulator" in view(f"https://{proxied.host}")
    with pytest.raises(InvalidStatus, match="403"):
        view("https://evil.example")


def test_events_come_through_it_as_they_happen(proxied: Proxied) -> None:
    project = proxied.server.project()
    with proxied.http.stream("GET", f"{project}/notifications") as stream:
        lines = stream.iter_lines()
        assert json.loads(next(lines))["action"] == "ping"
        vm = proxied.server.vm(project)
        while (event := json.loads(next(lines)))["action"] == "ping":
            pass
        assert (event["action"], event["event"]["vm_id"]) == ("vm.created", vm.rsplit("/", 1)[1])


def test_a_file_of_many_megabytes_goes_up_and_comes_down(proxied: Proxied) -> None:
    file = f"{proxied.server.project()}/files/disk.img"
    content = bytes(range(256)) * (20 * MIB // 256)
    assert proxied.http.post(file, content=content).status_code == 200
    assert proxied.http.get(file).content == content
