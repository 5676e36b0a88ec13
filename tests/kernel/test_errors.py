"""The exception tree and the one envelope (E-1, E-2)."""

import json

import pytest

from labplane import BadRequest, Conflict, Forbidden, LabError, NotFound, TooLarge, Unavailable
from labplane.api.replies import JSONReply, envelope
from labplane.errors import MethodNotAllowed


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (BadRequest, 400),
        (Forbidden, 403),
        (NotFound, 404),
        (MethodNotAllowed, 405),
        (Conflict, 409),
        (Unavailable, 409),
        (TooLarge, 413),
        (LabError, 500),
    ],
)
def test_each_error_has_its_status_in_the_line_and_in_the_envelope(kind: type[LabError], status: int) -> None:
    reply = envelope(kind("It “hurts”."))
    assert reply.status_code == status
    assert json.loads(bytes(reply.body)) == {"status": status, "message": "It “hurts”."}
    assert reply.headers["content-type"] == "application/json"


def test_a_refused_method_names_those_that_there_are() -> None:
    assert envelope(MethodNotAllowed("No.", ("GET", "PUT"))).headers["allow"] == "GET, PUT"
    assert envelope(MethodNotAllowed("No.")).headers["allow"] == ""


def test_a_body_that_is_too_large_does_not_end_the_connection() -> None:
    """T-10, T-12: the rest of it is discarded, and the next request is served."""
    assert "connection" not in envelope(TooLarge("No.")).headers


def test_a_plugin_may_derive_errors_of_its_own() -> None:
    class Jammed(Conflict):
        pass

    assert envelope(Jammed("It is.")).status_code == 409


def test_a_reply_is_indented_by_four_with_sorted_keys_and_ascii_only() -> None:
    """T-5."""
    assert bytes(JSONReply({"b": 1, "a": "é"}).body) == b'{\n    "a": "\\u00e9",\n    "b": 1\n}'
    with pytest.raises(ValueError, match="not JSON compliant"):
        JSONReply({"a": float("nan")})
