"""The gns3 plugin in a server: which version its clients are told, and what is left without it."""

from pathlib import Path

import pytest

from expect import refusal, shown
from inprocess import own, serving
from labplane import Plugin, hook
from labplane.plugins.loading import Candidate

AGENT = {"User-Agent": "GNS3 QT Client v1.5.4"}


class Probe(Plugin):
    """Knows one client of its own."""

    @hook
    def api_version(self, user_agent: str) -> str | None:
        return "7.1" if user_agent.startswith("probe ä") else None


PROBE = Candidate("probe", lambda: Probe, "labplane-probe", "1")


def test_the_plugin_is_listed_with_its_hooks(tmp_path: Path) -> None:
    with serving(tmp_path, own()) as served:
        (report,) = [one for one in shown(served.http.get("/v1/plugins")) if one["name"] == "gns3"]
    assert report["state"] == "active"
    assert "api_version" in report["hooks"]


def test_without_the_plugin_every_client_is_told_the_documented_version(tmp_path: Path) -> None:
    """O-7: nothing of it is in the kernel."""
    with serving(tmp_path, [one for one in own() if one.name != "gns3"]) as served:
        assert shown(served.http.get("/v1/version", headers=AGENT))["version"] == "1.3.dev1"
        refusal(served.http.post("/v1/version", json={"version": "1.5.4"}, headers=AGENT), 409)


@pytest.mark.parametrize("candidates", [[PROBE, *own()], [*own(), PROBE]], ids=["before", "after"])
def test_each_plugin_answers_for_its_own_clients(tmp_path: Path, candidates: list[Candidate]) -> None:
    """In whatever order plugins are asked; a header is latin-1, as HTTP has it."""
    with serving(tmp_path, candidates) as served:
        for agent, version in (
            ("probe ä 1".encode("latin-1"), "7.1"),
            (AGENT["User-Agent"].encode(), "1.5.4"),
            (b"", "1.3.dev1"),
        ):
            reply = served.http.get("/v1/version", headers=[(b"User-Agent", agent)])
            assert shown(reply)["version"] == version


def test_the_setting_is_told_to_every_client(tmp_path: Path) -> None:
    """O-7."""
    with serving(tmp_path, own(), api_version="1.4.6") as served:
        assert shown(served.http.get("/v1/version", headers=AGENT))["version"] == "1.4.6"
