"""Projects over HTTP: made, listed, found on disk."""

from pathlib import Path
from typing import Any

from expect import shown
from support import Server

MARKER = ".gns3_temporary"


def create(server: Server, **body: Any) -> dict[str, Any]:
    found: dict[str, Any] = shown(server.http.post("/v1/projects", json=body), 201)
    return found


def directory(server: Server, **body: Any) -> Path:
    return Path(create(server, **body)["path"])


def listed(server: Server) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = shown(server.http.get("/v1/projects"))
    return found
