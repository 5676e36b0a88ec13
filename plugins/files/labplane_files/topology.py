"""The topology file that a GNS3 client keeps in its project, and what becomes of it in an archive (F-8, F-12)."""

import json
from collections.abc import Mapping
from pathlib import Path

from labplane_files.paths import contained

TOPOLOGY = "project.gns3"
LARGEST = 64 * 1024 * 1024


def topology_of(root: Path) -> str | None:
    """The name of the project's topology file; None when there is none, or when it is not clear which one it is."""
    names = [path.name for path in root.glob("*.gns3") if path.is_file()]
    return TOPOLOGY if TOPOLOGY in names else names[0] if len(names) == 1 else None


def adopt(root: Path, project_id: str, name: str | None, new_ids: Mapping[str, str]) -> None:
    """Make the topology file of an archive that was unpacked into `root` this project's own, if there is one.

    new_ids: of each VM, by its old one. A file that is no topology stays as it is.
    """
    file = root / TOPOLOGY
    if not file.is_file() or file.stat().st_size > LARGEST:
        return
    try:
        text = file.read_text("utf-8")
        for old, new in new_ids.items():
            text = text.replace(old, new)
        topology = json.loads(text)
        topology |= {"project_id": project_id, "name": name}
        content = topology.setdefault("topology", {})
        content["servers"] = [{"id": 1, "local": True, "vm": False}]
        for node in content.setdefault("nodes", []):
            node["server_id"] = 1
        text = json.dumps(topology, indent=4)
    except (ValueError, TypeError, AttributeError, RecursionError):
        return
    file.write_text(text, "utf-8")
    if name is not None and not (root / _named(name)).exists():
        file.rename(root / _named(name))


def _named(name: str) -> str:
    """The file name that clients expect for a project of that name, if it can be one."""
    file = f"{name}.gns3"
    try:
        usable = contained(file) == file and "/" not in file and len(file.encode()) <= 255
    except Exception:
        usable = False
    return file if usable else TOPOLOGY
