"""What every reply of the API must look like, whatever it says: one function for each of the three kinds there are."""

import json
from typing import Any

import httpx2


def shown(reply: httpx2.Response, status: int = 200) -> Any:
    """The value of a JSON reply of that status, which must be printed as T-5 wants it."""
    assert reply.status_code == status, f"{reply.status_code} instead of {status}: {reply.text}"
    assert reply.headers["content-type"] == "application/json"
    value = json.loads(reply.content)
    assert reply.content in (_printed(value, True), _printed(value, False)), f"not indented and sorted: {reply.text}"
    return value


def refusal(reply: httpx2.Response, status: int) -> str:
    """The message of an error reply of that status, which must have the envelope of E-1."""
    envelope = shown(reply, status)
    assert envelope["status"] == status
    assert isinstance(envelope["message"], str)
    assert envelope["message"].strip()
    assert "Traceback" not in reply.text
    return str(envelope["message"])


def nothing(reply: httpx2.Response, status: int = 204) -> None:
    """Assert that the reply has that status and no body (T-6)."""
    assert reply.status_code == status, f"{reply.status_code} instead of {status}: {reply.text}"
    assert reply.content == b""
    assert reply.headers.get("content-length", "0") == "0"


def _printed(value: Any, ascii_only: bool) -> bytes:
    return json.dumps(value, indent=4, sort_keys=True, ensure_ascii=ascii_only).encode()
