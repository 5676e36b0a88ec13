"""Section 4 of docs/api.md over HTTP: the version and the comparison with the client's."""

from pathlib import Path
from typing import Any

import pytest

from expect import refusal, shown
from support import Server, running


def test_the_version_is_the_documented_one_and_says_whether_the_server_is_local(server: Server, local: Server) -> None:
    """V-1, O-7, O-8."""
    assert shown(server.http.get("/v1/version")) == {"version": "1.3.dev1", "local": False}
    assert shown(local.http.get("/v1/version")) == {"version": "1.3.dev1", "local": True}


def test_the_version_is_printed_with_four_spaces_and_sorted_keys(server: Server) -> None:
    """T-5, to the byte."""
    assert server.http.get("/v1/version").text == '{\n    "local": false,\n    "version": "1.3.dev1"\n}'


def test_the_product_version_stands_in_the_server_header_alone(server: Server) -> None:
    """O-7, T-7."""
    assert server.http.get("/v1/version").headers["server"].startswith("labplane/")


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
        assert shown(server.http.get("/v1/version"))["version"] == "1.3.13"
        assert shown(server.http.post("/v1/version", json={"version": "1.3.13"}))["version"] == "1.3.13"
        refusal(server.http.post("/v1/version", json={"version": "1.3.dev1"}), 409)
