"""Two real VPCS ping each other."""

from pathlib import Path

from support import Viewer, running


def test_two_linked_vpcs_ping_each_other(tmp_path: Path) -> None:
    with running(tmp_path / "projects") as server:
        project = server.project()
        one, two = server.linked_pair(project)
        for vm in (one, two):
            assert server.http.post(f"{vm}/start").status_code == 204
        with Viewer(server.consoles[0]) as first, Viewer(server.consoles[0] + 1) as second:
            for viewer, address in ((first, "10.0.0.1"), (second, "10.0.0.2")):
                viewer.until(b"VPCS> ")
                viewer.type(f"ip {address}")
            first.until(b"PC1 : 10.0.0.1")
            second.until(b"PC1 : 10.0.0.2")
            second.type("ping 10.0.0.1")
            second.until(b"10.0.0.1 icmp_seq=1 ttl=64")
        pids = server.children()
        assert len(pids) == 2
        server.stop()
        assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
