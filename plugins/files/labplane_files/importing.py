"""An import, from the body's last byte on: unpack aside, put in place, make the VMs; or leave no trace (F-9)."""

import asyncio
import errno
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from starlette.concurrency import iterate_in_threadpool

from labplane import BadRequest, Conflict, Lab
from labplane_files.description import SCHEMA
from labplane_files.paths import OURS
from labplane_files.rebuild import Rebuilding, new_ids, require_kinds
from labplane_files.topology import adopt
from labplane_files.unpack import Archive, Limits


async def bring_in(lab: Lab, project_id: str, file: IO[bytes], limits: Limits) -> Any:
    """The project object, after all that is in the archive `file` has come into that project.

    Raises LabErrors; the project is then as it was before.
    """
    root = lab.project_dir(project_id)
    staging = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix=OURS, dir=root))
    try:
        archive = await asyncio.to_thread(Archive, file, limits)
        lab_in_it: dict[str, Any] = {"name": None, "vms": []}
        if archive.description is not None:
            lab_in_it = lab.parse(archive.description, SCHEMA)
        require_kinds(lab, lab_in_it["vms"])
        async for _ in iterate_in_threadpool(archive.unpack(staging)):
            pass
        project = await lab.ask("GET", "/v1/projects/{project_id}", project_id=project_id)
        name = project["name"] if project["name"] is not None else lab_in_it["name"]
        ids = await asyncio.to_thread(new_ids, lab, project_id, lab_in_it["vms"])
        await asyncio.to_thread(_arrange, staging, lab_in_it["vms"], ids)
        await asyncio.to_thread(adopt, staging, project_id, name, {old: new for old, new in ids.items() if old != new})
        return await _put_in_place(lab, root, staging, Rebuilding(lab, project_id, lab_in_it["vms"], ids), name)
    finally:
        await asyncio.to_thread(shutil.rmtree, staging, ignore_errors=True)


def require_no_vms(lab: Lab, project_id: str) -> None:
    """Raise Conflict unless the project is without VMs."""
    if lab.vms.of(project_id):
        raise Conflict("The project has VMs already; create a new one with POST /v1/projects and import into that.")


async def _put_in_place(lab: Lab, root: Path, staging: Path, vms: Rebuilding, name: str | None) -> Any:
    project_id = vms.project_id
    require_no_vms(lab, project_id)
    placed = await asyncio.to_thread(_move, staging, root, os.listdir(staging))
    try:
        await vms.run()
        if lab.project_dir(project_id) != root:
            raise Conflict("The project was moved meanwhile; import again.")
        return await lab.ask("PUT", "/v1/projects/{project_id}", {"name": name}, project_id=project_id)
    except BaseException:
        await vms.undo()
        await asyncio.to_thread(_move, root, staging, placed)
        raise


def _arrange(staging: Path, vms: list[dict[str, Any]], ids: Mapping[str, str]) -> None:
    """Give each VM its directory under the id that it will have."""
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


def _move(source: Path, target: Path, names: list[str]) -> list[str]:
    """Move what is called so from one directory into another, all or nothing; what was moved."""
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
