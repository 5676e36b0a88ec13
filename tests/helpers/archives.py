"""Archives of labs: made, damaged, brought in, looked at."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

from expect import shown
from support import Server

SCRIPTS = {"PC1": "set pcname PC1\nip 192.168.1.1\n", "PC2": "set pcname PC2\r\nip 192.168.1.2 # zwei ä\n"}


def path_of(server: Server, project: str) -> Path:
    """The project's directory."""
    return Path(shown(server.http.get(project))["path"])


def everything(root: Path) -> dict[str, bytes | None]:
    """What there is below `root`; None for a directory."""
    return {str(path.relative_to(root)): path.read_bytes() if path.is_file() else None for path in root.rglob("*")}


def export(server: Server, project: str) -> bytes:
    reply = server.http.get(f"{project}/export")
    assert reply.status_code == 200, reply.text
    return reply.content


def contents(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as found:
        assert found.testzip() is None
        return {name: found.read(name) for name in found.namelist()}


def description_in(data: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(contents(data)["labplane.json"])
    return found


def bring(server: Server, project: str, data: bytes) -> dict[str, Any]:
    """Import `data`; the project object."""
    found: dict[str, Any] = shown(server.http.post(f"{project}/import", content=data), 201)
    return found


EMPTY = {"format": "labplane", "version": 1, "name": None, "vms": []}


def archive(files: dict[str, bytes | str], description: Any = EMPTY, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip of these files, with the description of a lab; None for a zip without one."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", method) as made:
        for name, content in files.items():
            made.writestr(name, content)
        if description is not None and not {"labplane.json", "project.gns3"} & files.keys():
            made.writestr("labplane.json", json.dumps(description))
    return whole.getvalue()


def special(mode: int) -> bytes:
    """An archive with a member of that mode."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as made:
        member = zipfile.ZipInfo("special")
        member.external_attr = mode << 16
        made.writestr(member, "/etc/passwd")
        made.writestr("fine", "fine")
    return whole.getvalue()


def flagged(data: bytes, flags: int) -> bytes:
    """The archive, whose only member has these flags."""
    changed = bytearray(data)
    changed[data.index(b"PK\x01\x02") + 8] |= flags
    return bytes(changed)


def renamed(name: str, other: str) -> bytes:
    """An archive with a member called `other`, of the length of `name`, though zipfile would not write such a name."""
    return archive({"fine": "fine", name: "x"}).replace(name.encode(), other.encode("latin-1"))


def described(*machines: dict[str, Any]) -> dict[str, Any]:
    """The description of a lab with these VPCS."""
    plain: dict[str, Any] = {"kind": "vpcs", "name": "PC", "console": None, "settings": {}, "links": []}
    numbered = [{"vm_id": f"00000000-0000-4000-8000-{number:012}"} for number in range(len(machines))]
    vms = [plain | number | machine for number, machine in zip(numbered, machines, strict=True)]
    return {"format": "labplane", "version": 1, "name": None, "vms": vms}


def plugged(adapter: int = 0, **nio: Any) -> dict[str, Any]:
    """As much of a VM's description as tells that this NIO is in its port 0."""
    return {"links": [{"adapter": adapter, "port": 0, "nio": nio}]}


def open_files(server: Server) -> list[str]:
    """Where the server's descriptors lead."""
    found = []
    for link in Path(f"/proc/{server.process.pid}/fd").iterdir():
        try:
            found.append(str(link.readlink()))
        except FileNotFoundError:
            continue
    return found
