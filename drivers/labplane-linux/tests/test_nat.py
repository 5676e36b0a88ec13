"""The kind `nat`: refused unless the settings allow it; then a way out, tried on an Internet in a namespace.

That part needs root in a network namespace, so this file is then run as a program.
"""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from namespaces import needs_namespace, run_apart
from support import Server, Viewer, running, until

ALLOWED = Path(__file__).with_name("allowed.toml")
OUTSIDE = "198.51.100.1"  # of the networks for documentation (RFC 5737)

# Has the far end of a pair of cards, a page and a name, and ends with its input.
INTERNET = f"""
import functools, http.server, pathlib, subprocess, sys, threading
folder = sys.argv[1]
print("made", flush=True)
input()
subprocess.run(["ip", "addr", "add", "{OUTSIDE}/24", "dev", "far"], check=True)
subprocess.run(["ip", "link", "set", "far", "up"], check=True)
pathlib.Path(folder, "page").write_text("the page outside\\n")
handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)
server = http.server.ThreadingHTTPServer(("{OUTSIDE}", 80), handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
names = subprocess.Popen(["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts",
    "--interface=far", "--bind-interfaces", "--address=/www.example.test/{OUTSIDE}", "--user=root",
    "--pid-file=" + folder + "/names"])
print("up", flush=True)
sys.stdin.read()
names.terminate()
names.wait()
"""


def test_no_nat_starts_unless_the_settings_allow_it(tmp_path: Path) -> None:
    with running(tmp_path / "projects", "--strict") as server:
        vm = server.vm(server.project(), "N", kind="nat")
        reply = server.http.post(f"{vm}/start")
        assert reply.status_code == 409
        assert "put `allow = true` below [plugins.nat]" in reply.json()["message"]
        assert not server.children()


@pytest.mark.parametrize(
    ("network", "why"),
    [
        ("10.0.2.0/26", "26 bits"),
        ("10.0.2.1/24", "host bits"),
        ("10.0.2/24", "say 10.0.2.0/24"),
        ("0.0.0.0/0", "0 bits"),
    ],
)
def test_a_network_that_can_be_none_is_refused(network: str, why: str, allowed: Server) -> None:
    reply = allowed.http.post(f"{allowed.project()}/nat/vms", json={"name": "N", "network": network})
    assert reply.status_code == 400
    assert why in reply.json()["message"].lower()


@pytest.fixture(scope="module")
def allowed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("nat") / "projects", "--strict", "--config", str(ALLOWED)) as server:
        yield server


def test_the_end_of_slirp4netns_is_that_of_its_vm_and_told_as_a_failure(allowed: Server) -> None:
    vm = allowed.vm(allowed.project(), "N", kind="nat")

    def the_only_one() -> int | None:
        found = [pid for pid, name in allowed.processes().items() if name == "slirp4netns"]
        return found[0] if len(found) == 1 else None  # one that forks is there twice for a moment

    for _ in range(2):
        assert allowed.http.post(f"{vm}/start").status_code == 204
        os.kill(until(the_only_one, "slirp4netns"), signal.SIGKILL)
        until(lambda: allowed.http.get(vm).json()["status"] == "stopped", "the end of the VM")
    assert allowed.log.count("ended by itself, with status 247") == 2


@needs_namespace
def test_a_lab_reaches_the_outside_and_not_the_host(tmp_path: Path) -> None:
    run_apart(__file__, str(tmp_path))


@contextmanager
def internet(folder: Path) -> Iterator[None]:
    """What is all that this namespace reaches: a page, a name server, and who answers pings."""
    program = [sys.executable, "-c", INTERNET, str(folder)]
    with subprocess.Popen(
        ["unshare", "--net", *program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as far:
        assert far.stdin is not None
        assert far.stdout is not None
        assert far.stdout.readline() == "made\n"
        for line in (
            f"link add near type veth peer name far netns {far.pid}",
            "addr add 198.51.100.2/24 dev near",
            "link set near up",
            f"route add default via {OUTSIDE}",
        ):
            subprocess.run(["ip", *line.split()], check=True)
        far.stdin.write("\n")
        far.stdin.flush()
        assert far.stdout.readline() == "up\n"
        until(lambda: (folder / "names").exists(), "dnsmasq")
        try:
            yield
        finally:
            far.stdin.close()


def answer(viewer: Viewer, line: str, prompt: bytes) -> str:
    viewer.type(line)
    viewer.until(line.encode())
    return viewer.until(prompt).decode(errors="replace")


def lab(server: Server) -> dict[str, str]:
    """A VPCS, a built-in PC and a host on a switch with a nat, all started."""
    project = server.project()
    vms = {
        "switch": server.vm(project, "S", kind="switch"),
        "nat": server.vm(project, "N", kind="nat"),
        "vpcs": server.vm(project, "PC1", engine="vpcs"),
        "builtin": server.vm(project, "PC2", engine="builtin"),
        "linux": server.vm(
            project,
            "H",
            kind="linux",
            startup_script="ip addr add 10.0.2.50/24 dev eth0\nip route add default via 10.0.2.2\n",
        ),
    }
    for port, name in enumerate(list(vms)[1:]):
        ends = [
            {"vm_id": vms[one].rsplit("/", 1)[1], "adapter": 0, "port": at} for one, at in (("switch", port), (name, 0))
        ]
        reply = server.http.post(f"{project}/links", json={"ends": ends})
        assert reply.status_code == 201, reply.text
    for vm in vms.values():
        reply = server.http.post(f"{vm}/start")
        assert reply.status_code == 204, reply.text
    return vms


def main(folder: Path) -> None:
    Path("/proc/sys/net/ipv4/ping_group_range").write_text("0 0")  # as many systems have it for all
    (folder / "resolv.conf").write_text(f"nameserver {OUTSIDE}\n")
    names = ["unshare", "-m", "sh", "-c", f'mount --bind {folder}/resolv.conf /etc/resolv.conf && exec "$@"', "sh"]
    with (
        internet(folder),
        running(folder / "projects", "--strict", "--config", str(ALLOWED), within=names) as server,
        ExitStack() as stack,
    ):
        vms = lab(server)
        pc, built_in, host = (
            stack.enter_context(Viewer(server.http.get(vms[name]).json()["console"]))
            for name in ("vpcs", "builtin", "linux")
        )
        leases = set()
        for viewer in (pc, built_in):
            viewer.until(b"> ")
            found = re.search(r"IP (10\.0\.2\.(?:1[5-9]|2\d|30))/24 GW 10\.0\.2\.2", answer(viewer, "dhcp", b"> "))
            assert found
            leases.add(found[1])
            assert f"{OUTSIDE} icmp_seq=1 ttl=" in answer(viewer, f"ping {OUTSIDE} -c 1", b"> ")
        assert len(leases) == 2, "each PC has an address of its own"
        said = answer(built_in, "ping www.example.test -c 1 -P 6 -p 80", b"> ")
        assert f"resolved to {OUTSIDE}" in said, said
        assert "Close     80@www.example.test" in said, said
        host.until(b"H:~# ")
        assert "the page outside" in answer(host, f"curl -s http://{OUTSIDE}/page", b"H:~# ")
        refused = answer(host, f"curl -sS -m 10 http://10.0.2.2:{server.port}/v1/version", b"H:~# ")
        assert "curl: (" in refused, "the host's loopback"
        server.kill()
        with server.again() as again:
            assert again.http.get(vms["nat"]).json()["status"] == "started"
            with Viewer(again.http.get(vms["vpcs"]).json()["console"]) as viewer:
                until(lambda: "icmp_seq=1 ttl=" in answer(viewer, f"ping {OUTSIDE} -c 1", b"> "), "pings again")
            assert again.http.post(f"{vms['nat']}/stop").status_code == 204
            assert not [name for name in again.processes().values() if name.startswith("slirp")]


if __name__ == "__main__":
    main(Path(os.path.realpath(sys.argv[1])))
