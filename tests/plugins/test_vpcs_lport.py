"""A VPCS gets its lport although a neighbour that is just being spawned still has a copy of our guard's socket."""

import socket
import threading
from pathlib import Path

from support import running


def test_a_port_that_is_occupied_for_a_moment_does_not_fail_a_start(tmp_path: Path) -> None:
    with running(tmp_path / "projects") as server:
        vm, _ = server.linked_pair(server.project())
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as copy:
            copy.bind(("0.0.0.0", server.udp[0]))
            threading.Timer(0.05, copy.close).start()
            assert server.http.post(f"{vm}/start").status_code == 204


def test_a_port_that_stays_occupied_does(tmp_path: Path) -> None:
    with running(tmp_path / "projects") as server:
        vm, _ = server.linked_pair(server.project())
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.bind(("0.0.0.0", server.udp[0]))
            assert server.http.post(f"{vm}/start").status_code == 409
