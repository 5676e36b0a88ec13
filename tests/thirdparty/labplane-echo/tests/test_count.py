"""The plugin's route, asked over HTTP."""

from pathlib import Path

from labplane.testing import running


def test_it_counts_the_vms_of_its_kind(tmp_path: Path) -> None:
    with running(tmp_path / "projects") as server:
        assert server.http.get("/v1/echo").json() == {"count": 0}
        vms = f"{server.project()}/echo/vms"
        assert server.http.post(vms, json={"name": "E1"}).status_code == 201
        assert server.http.get("/v1/echo").json() == {"count": 1}
