"""What a node needs and this server lacks is said at its start; and who may speak to a node's program."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import Server, running

PACKAGE = str(Path(__file__).parents[1])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server in a mount namespace of its own, where something can be hidden from it; its files are for it alone."""
    if os.getuid() != 0:
        pytest.skip("only root can hide something from a server")
    within = ["unshare", "-m", "sh", "-c", 'umask 077 && exec "$@"', "sh"]
    with running(tmp_path_factory.mktemp("missing") / "projects", "--strict", within=within) as server:
        yield server


@pytest.mark.parametrize(
    ("hidden", "command", "sentence"),
    [
        (
            "/usr/lib/frr",
            ["-t", "tmpfs", "none"],
            "This server does not have FRR's zebra, staticd, bgpd in /usr/lib/frr. On",
        ),
        ("/dev/net", ["-t", "tmpfs", "none"], "There is no /dev/net/tun on this server. Load the module: modprobe tun"),
        ("/proc/sys/user/max_user_namespaces", ["--bind", "{zero}"], "This system has no user namespaces. Allow them:"),
    ],
)
def test_what_is_missing_is_said(
    hidden: str, command: list[str], sentence: str, server: Server, tmp_path: Path
) -> None:
    zero = tmp_path / "zero"
    zero.write_text("0\n")
    inside = ["nsenter", "-t", str(server.process.pid), "-m"]
    vm = server.vm(server.project(), "H", kind="linux", frr_conf="router bgp 65001\n")
    subprocess.run([*inside, "mount", *(word.format(zero=zero) for word in command), hidden], check=True)
    try:
        reply = server.http.post(f"{vm}/start")
        assert reply.status_code == 409
        assert sentence in reply.json()["message"]
        assert server.http.get(vm).json()["status"] == "stopped"
    finally:
        subprocess.run([*inside, "umount", hidden], check=True)
    assert server.http.post(f"{vm}/start").status_code == 204
    assert server.http.delete(vm).status_code == 204


LISTENER = f"""
import sys
sys.path.append({PACKAGE!r})
from labplane_linux_node import line
listener = line.listen()
print("listens", flush=True)
for _ in range(2):
    end = line.accept(listener)
    print("refused" if end is None else "taken", flush=True)
"""
CALLER = """
import os, socket, sys, time
while os.getppid() == int(sys.argv[1]):
    time.sleep(0.01)
socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET).connect(".labplane-control")
"""


def test_a_node_s_program_hears_no_other_machine_of_its_keeper(tmp_path: Path) -> None:
    """This test is in the keeper's place, its child in that of a machine; who has lost its parent is like a server."""
    caller = [sys.executable, "-c", CALLER]
    with subprocess.Popen(
        [sys.executable, "-c", LISTENER], stdout=subprocess.PIPE, text=True, cwd=tmp_path
    ) as listener:
        assert listener.stdout is not None
        assert listener.stdout.readline() == "listens\n"
        subprocess.run([*caller, "0"], check=True, cwd=tmp_path)
        assert listener.stdout.readline() == "refused\n"
        subprocess.run(["sh", "-c", '"$@" "$$" &', "sh", *caller], check=True, cwd=tmp_path)
        assert listener.stdout.readline() == "taken\n"
