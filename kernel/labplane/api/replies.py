"""JSON replies in their one form: four spaces, sorted keys, exactly ``application/json`` (T-5); the error envelope."""

import json
import logging
from collections.abc import Mapping
from json.encoder import encode_basestring_ascii as quoted
from typing import Any

from starlette.responses import Response

from labplane.errors import LabError, answer_to

log = logging.getLogger("labplane")


class JSONReply(Response):
    """`content` as JSON, indented by four spaces, keys sorted."""

    media_type = "application/json"

    def init_headers(self, headers: Mapping[str, str] | None = None) -> None:
        super().init_headers(headers)
        self.raw_headers.append((b"x-content-type-options", b"nosniff"))  # no browser may take the reply for a page

    def render(self, content: Any) -> bytes:
        try:
            text = _indented(content, "\n")
        except TypeError:  # keys that are no strings: json knows what becomes of them
            text = json.dumps(content, indent=4, sort_keys=True, allow_nan=False)
        return text.encode("ascii")


def envelope(error: LabError) -> JSONReply:
    """The reply that tells `error` to the client: ``{"status": N, "message": "…"}`` (E-1)."""
    return JSONReply({"status": error.status, "message": str(error)}, error.status, error.headers)


def crash() -> JSONReply:
    """The reply to a request at which labplane itself failed. It tells nothing more; the log has the rest (B-16)."""
    return JSONReply({"status": 500, "message": "labplane failed at this request; its log says why."}, 500)


def failed(error: Exception, what: str) -> JSONReply:
    """The reply when `what` failed with `error`, which is no LabError; it is logged."""
    if (answer := answer_to(error)) is not None:
        log.error("the system refused something at %s: %s", what, error)
        return envelope(answer)
    log.error("%s crashed", what, exc_info=error)
    return crash()


_plain = json.JSONEncoder(allow_nan=False).encode


def _indented(value: Any, margin: str) -> str:
    """What ``json.dumps(indent=4, sort_keys=True)`` gives, in less than half its time."""
    kind = type(value)
    if kind is str:
        return quoted(value)
    if kind is int:
        return repr(value)
    if kind is bool:
        return "true" if value else "false"
    if value is None:
        return "null"
    inner = margin + "    "
    if value and isinstance(value, dict):
        members = [f"{quoted(key)}: {_indented(value[key], inner)}" for key in sorted(value)]
        return "{" + inner + ("," + inner).join(members) + margin + "}"
    if value and isinstance(value, list | tuple):
        return "[" + inner + ("," + inner).join([_indented(item, inner) for item in value]) + margin + "]"
    return _plain(value)
