"""Whose lport is occupied for a moment only, and whose by a stranger (B-10, B-12)."""

import socket
from pathlib import Path

from support import running


def test_a_port_that_stays_occupied_is_refused(tmp_path: Path) -> None:
    with running(tmp_path / "projects") as server:
        vm, _ = server.linked_pair(server.project())
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.bind(("0.0.0.0", server.udp[0]))
            assert server.http.post(f"{vm}/start").status_code == 409
        assert server.http.post(f"{vm}/start").status_code == 204
