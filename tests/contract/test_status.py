"""Section 10 of docs/api.md: what the server says of itself, and its network interfaces (I-1)."""

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from expect import nothing, refusal, shown
from machines import linked, start
from namespaces import needs_namespace, needs_tun, way_in
from support import Server, running


def status(server: Server) -> dict[str, Any]:
    found: dict[str, Any] = shown(server.http.get("/v1/status"))
    return found


def test_the_status_of_a_server_with_nothing_in_it(tmp_path: Path) -> None:
    """R-1."""
    with running(tmp_path / "projects") as server:
        found = status(server)
        plugins = shown(server.http.get("/v1/plugins"))
    assert found.pop("uptime_seconds") >= 0
    load = found.pop("load")
    assert len(load["average"]) == 3
    assert load["processors"] == os.cpu_count()
    assert 0 < load["memory_available"] <= load["memory_total"]
    members = ("name", "state", "distribution", "version", "kinds", "error", "faults", "last_fault")
    assert found == {
        "version": version("labplane"),
        "api_version": "1.3.dev1",
        "console_host": "127.0.0.1",
        "projects": [],
        "ports": {
            "console": {"first": server.consoles[0], "last": server.consoles[1], "used": [], "free": 40},
            "udp": {"first": server.udp[0], "last": server.udp[1], "used": [], "free": 40},
        },
        "plugins": [{key: plugin[key] for key in members} for plugin in plugins],
    }


def test_the_status_has_each_project_with_its_vms(tmp_path: Path) -> None:
    """R-1: a running VM, one that is not, and a project without any."""
    with running(tmp_path / "projects") as server:
        projects = [server.project(name="One"), server.project()]
        vms = [linked(server, projects[0], name=name) for name in ("PC1", "PC2")]
        start(server, vms[0])
        first, second = server.consoles[0], server.consoles[0] + 1
        ids = [vm.rpartition("/")[2] for vm in vms]
        assert status(server)["projects"] == [
            {
                "project_id": projects[0].rpartition("/")[2],
                "name": "One",
                "vms": [
                    {"vm_id": ids[0], "name": "PC1", "kind": "vpcs", "status": "started", "console": first},
                    {"vm_id": ids[1], "name": "PC2", "kind": "vpcs", "status": "stopped", "console": second},
                ],
            },
            {"project_id": projects[1].rpartition("/")[2], "name": None, "vms": []},
        ]


def test_the_ports_in_use_are_all_there_and_come_back(tmp_path: Path) -> None:
    """R-1, U-5, U-6: one that lies outside the range takes none of the range."""
    with running(tmp_path / "projects") as server:
        project = server.project()
        outside = server.udp[1] + 1
        linked(server, project)
        linked(server, project, lport=outside)
        ports = status(server)["ports"]
        assert ports["console"]["used"] == [server.consoles[0], server.consoles[0] + 1]
        assert (ports["udp"]["used"], ports["udp"]["free"]) == ([server.udp[0], outside], 39)
        nothing(server.http.delete(project))
        ports = status(server)["ports"]
        assert [ports[pool]["used"] for pool in ("console", "udp")] == [[], []]
        assert [ports[pool]["free"] for pool in ("console", "udp")] == [40, 40]


def test_the_page_is_at_two_addresses_unless_another_plugin_has_one(tmp_path: Path) -> None:
    """R-2."""
    config = tmp_path / "labplane.toml"
    config.write_text('disabled = ["web"]\n')
    with running(tmp_path / "projects", "--config", str(config)) as server:
        pages = [server.http.get(path) for path in ("/", "/status")]
        assert [page.status_code for page in pages] == [200, 200]
        assert pages[0].text == pages[1].text
        assert pages[0].headers["content-type"] == "text/html; charset=utf-8"
        refusal(server.http.get("/status/plugin.py"), 404)
        refusal(server.http.post("/"), 405)


@needs_namespace
@needs_tun
def test_interfaces_are_shown_with_all_their_addresses() -> None:
    """I-1: further addresses of one belong to it, and an interface without any is there all the same."""
    found = interfaces_after(
        "ip address add 10.1.2.3/24 dev lo label lo:1",
        "ip address add fd00::1/64 dev lo nodad",
        "ip tuntap add dev tun9 mode tun",
    )
    lo, tun = (next(one for one in found if one["name"] == name) for name in ("lo", "tun9"))
    addresses = lo.pop("addresses")
    assert lo == {"id": "lo", "name": "lo", "ip_address": "127.0.0.1", "mac_address": "00:00:00:00:00:00"}
    assert addresses[:2] == [
        {"address": "127.0.0.1", "netmask": "255.0.0.0"},
        {"address": "10.1.2.3", "netmask": "255.255.255.0"},
    ]
    assert {"address": "fd00::1", "netmask": "ffff:ffff:ffff:ffff::"} in addresses[2:]
    assert tun == {"id": "tun9", "name": "tun9", "ip_address": "", "mac_address": "", "addresses": []}


@needs_namespace
def test_the_address_of_an_interface_without_ipv4_is_empty() -> None:
    """I-1: and that of a link is told without the name of the interface."""
    found = interfaces_after("ip address flush dev lo", "ip address add fe80::7/64 dev lo nodad")
    (lo,) = (one for one in found if one["name"] == "lo")
    assert lo["ip_address"] == ""
    assert lo["addresses"] == [{"address": "fe80::7", "netmask": "ffff:ffff:ffff:ffff::"}]


def interfaces_after(*commands: str) -> list[dict[str, Any]]:
    """The interfaces of a network namespace of its own, in which `commands` were run."""
    program = "import json, labplane_server.interfaces as room; print(json.dumps(room.interfaces()))"
    script = " && ".join(("ip link set lo up", *commands, 'exec "$@"'))
    way = way_in()
    assert way is not None
    done = subprocess.run(
        [*way, "sh", "-c", script, "sh", sys.executable, "-c", program], stdout=subprocess.PIPE, check=True
    )
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found
