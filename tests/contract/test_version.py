"""Section 4 of docs/api.md over HTTP: the version and the comparison with the client's."""

import json
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from expect import refusal, shown
from support import Server, running
from wire import Wire


def test_the_version_is_the_documented_one_and_says_whether_the_server_is_local(server: Server, local: Server) -> None:
    """V-1, O-7, O-8."""
    assert shown(server.http.get("/v1/version")) == {"version": "1.3.dev1", "local": False}
    assert shown(local.http.get("/v1/version")) == {"version": "1.3.dev1", "local": True}


def test_the_version_is_printed_with_four_spaces_and_sorted_keys(server: Server) -> None:
    """T-5, to the byte."""
    assert server.http.get("/v1/version").text == '{\n    "local": false,\n    "version": "1.3.dev1"\n}'


def test_product_and_version_stand_in_the_server_header_alone(server: Server) -> None:
    """O-7, T-7."""
    for reply in (server.http.get("/v1/version"), server.http.get("/v1/nowhere"), server.http.post("/v1/projects")):
        assert reply.headers["server"] == f"labplane/{metadata.version('labplane')}"


@pytest.mark.parametrize(
    "version",
    ["1.3.0rc1", "1.3.1.dev4", "1.3.13", "1.4.0dev14", "1.4.6", "1.5.3rc1", "1.5.4", "1.6.0"],
)
def test_a_desktop_client_of_1_x_is_told_its_own_version(server: Server, version: str) -> None:
    """V-1, V-2, O-7: gns3/http_client.py of every release from 1.3.0 on names itself so, and refuses all but its twin.

    The forms are those of gns3/version.py over the years.
    """
    agent = {"User-Agent": f"GNS3 QT Client v{version}"}
    assert shown(server.http.get("/v1/version", headers=agent)) == {"version": version, "local": False}
    assert shown(server.http.post("/v1/version", json={"version": version}, headers=agent)) == {"version": version}
    message = refusal(server.http.post("/v1/version", json={"version": "1.3.dev1"}, headers=agent), 409)
    assert message == f"The client has version '1.3.dev1', the server '{version}'."


@pytest.mark.parametrize(
    "agent",
    [
        "curl/8.5.0",
        "Python-urllib/3.4",
        "GNS3 QT Client v2.2.54",
        "GNS3 QT Client v10.1",
        "GNS3 QT Client v1.",
        "GNS3 QT Client v",
        "GNS3 QT Client v1.5.4 (a fork)",
        "GNS3 QT Client v1.5.4<script>",
        "GNS3 QT Client v1.5" + "5" * 100,
        "gns3 qt client v1.5.4",
        "Mozilla/5.0 GNS3 QT Client v1.5.4",
        "",
    ],
)
def test_everybody_else_is_told_the_documented_version(server: Server, agent: str) -> None:
    """V-1, O-7: what is in the header goes into the reply only if it is a version."""
    with Wire(server.port) as wire:
        reply = wire.call("GET", "/v1/version", b"", f"User-Agent: {agent}")
    assert json.loads(reply.body) == {"version": "1.3.dev1", "local": False}


@pytest.mark.parametrize("local", [{}, {"local": True}, {"local": False}])
def test_the_same_version_is_confirmed(server: Server, local: dict[str, bool]) -> None:
    """V-2."""
    reply = server.http.post("/v1/version", json={"version": "1.3.dev1", **local})
    assert shown(reply)["version"] == "1.3.dev1"


@pytest.mark.parametrize("version", ["1.3.0", "1.3.dev1 ", "", "1.3.DEV1"])
def test_another_version_is_a_conflict_that_names_both(server: Server, version: str) -> None:
    """V-2."""
    message = refusal(server.http.post("/v1/version", json={"version": version}), 409)
    assert version in message
    assert "1.3.dev1" in message


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"version": None},
        {"version": 1.3},
        {"version": ["1.3.dev1"]},
        {"version": "1.3.dev1", "local": "yes"},
        {"version": "1.3.dev1", "local": 1},
        {"version": "1.3.dev1", "local": None},
        {"version": "1.3.dev1", "extra": True},
        {"local": True},
        [],
        "1.3.dev1",
        None,
    ],
)
def test_a_version_request_must_fit_its_schema(server: Server, body: Any) -> None:
    """V-2."""
    refusal(server.http.post("/v1/version", json=body), 400)


def test_the_version_can_be_configured(tmp_path: Path) -> None:
    """V-1, O-7: clients refuse any server whose string is not their own."""
    with running(tmp_path / "projects", "--api-version", "1.3.13") as server:
        agent = {"User-Agent": "GNS3 QT Client v1.5.4"}
        assert shown(server.http.get("/v1/version", headers=agent))["version"] == "1.3.13"
        assert shown(server.http.get("/v1/version"))["version"] == "1.3.13"
        assert shown(server.http.post("/v1/version", json={"version": "1.3.13"}))["version"] == "1.3.13"
        refusal(server.http.post("/v1/version", json={"version": "1.3.dev1"}), 409)
