"""An import, once its body is complete: unpack it aside, put it in place, make the VMs; or leave no trace (F-9)."""

import asyncio
import errno
import json
import logging
import os
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from starlette.concurrency import iterate_in_threadpool

from labplane import BadRequest, Conflict, Lab, NotFound, Schema, remove_tree
from labplane_files.description import DESCRIPTION, SCHEMA
from labplane_files.parts import Parts
from labplane_files.paths import OURS
from labplane_files.rebuild import Rebuilding, new_ids, require_kinds
from labplane_files.unpack import Archive, Limits

log = logging.getLogger("labplane.files")

NAME: Schema = SCHEMA["properties"]["name"]


async def bring_in(lab: Lab, project_id: str, file: IO[bytes], limits: Limits) -> Any:
    """Import the archive `file` into the project and close it; returns the project object.

    Raises LabErrors; the project is then as it was before.
    """
    with file:
        project = await lab.ask("GET", "/v1/projects/{project_id}", project_id=project_id)
        parts = Parts(lab, project_id)
        archive = await asyncio.to_thread(Archive, file, limits, parts.make_lab)
        there: dict[str, Any] = {"name": None, "vms": []}
        if archive.description is not None:
            there = await asyncio.to_thread(lab.parse, archive.description, SCHEMA, DESCRIPTION)
        require_kinds(lab, there["vms"])
        async with lab.held(project_id) as root:
            staging = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix=OURS, dir=root))
            try:
                async for _ in iterate_in_threadpool(archive.unpack(staging)):
                    if lab.is_closing(project_id):
                        raise NotFound(f"The project {project_id} was closed meanwhile.")
                ids = await asyncio.to_thread(new_ids, lab, project_id, there["vms"])
                await asyncio.to_thread(_arrange, staging, there["vms"], ids)
                names = [project["name"], there["name"], *await asyncio.to_thread(parts.project_names, staging)]
                name = _first_possible(lab, names)
                for sentence in await asyncio.to_thread(parts.adopt, staging, name, ids):
                    _tell(lab, project_id, sentence)
                await _put_in_place(lab, root, staging, Rebuilding(lab, project_id, there["vms"], ids))
            finally:
                if sentence := await asyncio.to_thread(_clear, staging):
                    _tell(lab, project_id, sentence)
    with suppress(NotFound):  # the project was closed since; its import is complete all the same
        project = await lab.ask("PUT", "/v1/projects/{project_id}", {"name": name}, project_id=project_id)
    return project


def require_no_vms(lab: Lab, project_id: str) -> None:
    """Raise Conflict unless the project is without VMs."""
    if lab.vms.of(project_id):
        raise Conflict("The project has VMs already; create a new one with POST /v1/projects and import into that.")


async def _put_in_place(lab: Lab, root: Path, staging: Path, vms: Rebuilding) -> None:
    require_no_vms(lab, vms.project_id)
    placed = await asyncio.to_thread(_move, staging, root, os.listdir(staging))
    try:
        await vms.run()
        if lab.project_dir(vms.project_id) != root:
            raise Conflict("The project was moved meanwhile; import again.")
    except BaseException:
        await vms.undo()
        await asyncio.to_thread(_move, root, staging, placed)
        raise


def _arrange(staging: Path, vms: list[dict[str, Any]], ids: Mapping[str, str]) -> None:
    """Rename the directory of each VM to the id that the VM will have, or make it."""
    for vm in vms:
        kind = staging / "project-files" / vm["kind"]
        old, new = kind / vm["vm_id"], kind / ids[vm["vm_id"].lower()]
        try:
            if old.is_dir() and old != new:
                old.rename(new)
            new.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTDIR, errno.ENOTEMPTY):
                raise
            raise BadRequest(f"The archive has no room for the directory of the VM {vm['name']!r}.") from None


def _first_possible(lab: Lab, names: Iterable[str | None]) -> str | None:
    """The first of `names` that is one and that a project may have; None when there is none."""
    for name in names:
        if name is not None:
            with suppress(BadRequest):
                lab.parse(json.dumps(name).encode(), NAME)
                return name
    return None


def _clear(staging: Path) -> str:
    """Remove the directory in which an archive was unpacked; why it has to stay, or "" when it is gone."""
    try:
        remove_tree(staging)
    except OSError as error:
        return f"{error.filename or staging} stays until the next start, for it cannot be removed: {error.strerror}."
    return ""


def _tell(lab: Lab, project_id: str, sentence: str) -> None:
    log.warning("project %s: %s", project_id, sentence)
    lab.events.emit("log.warning", {"message": sentence}, project_id)


def _move(source: Path, target: Path, names: list[str]) -> list[str]:
    """Move the files and directories of these names from `source` to `target`, all or none; returns their names."""
    moved: list[str] = []
    try:
        for name in sorted(names):
            if os.path.lexists(target / name):
                raise Conflict(f"The project has {name[:200]!r} already; import into a new one.")
            (source / name).rename(target / name)
            moved.append(name)
    except BaseException:
        for name in moved:
            (target / name).rename(source / name)
        raise
    return moved
