"""Routes of the module qemu beside those of machines: programs, and new images made by qemu-img."""

import asyncio
import os
import secrets
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

from labplane import BadRequest, Conflict, Lab, LabError, Needs, Request, Route, Schema, run_tool
from labplane_qemu.programs import Programs
from labplane_qemu.settings import PLATFORMS, PROGRAM

KIND = "qemu"
MOST_MEBIBYTES = 16 * 1024 * 1024
SECONDS = 3600.0
ON_OFF: Schema = {"enum": ["on", "off"]}

SCHEMAS: Mapping[str, Schema] = {
    "QemuBinaries": {
        "type": "array",
        "items": {
            "type": "object",
            "properties": {"path": {"type": "string"}, "version": {"type": "string"}},
            "required": ["path", "version"],
            "additionalProperties": False,
        },
    },
    "QemuBinaryFilter": {
        "type": "object",
        "properties": {"archs": {"type": "array", "items": {"enum": list(PLATFORMS)}}},
        "additionalProperties": False,
    },
    "QemuCapabilities": {
        "type": "object",
        "properties": {"kvm": {"type": "array", "items": {"enum": list(PLATFORMS)}}},
        "required": ["kvm"],
        "additionalProperties": False,
    },
    "QemuImage": {
        "type": "object",
        "properties": {
            "qemu_img": {"type": "string", "minLength": 1, "description": "only its name counts: qemu-img"},
            "path": {"type": "string", "minLength": 1, "maxLength": 1000, "description": "of the new image, as in G-1"},
            "format": {"enum": ["qcow2", "qcow", "vpc", "vdi", "vmdk", "raw"]},
            "size": {"type": "integer", "minimum": 1, "maximum": MOST_MEBIBYTES, "description": "in MiB"},
            "preallocation": {"enum": ["off", "metadata", "falloc", "full"]},
            "cluster_size": {"type": "integer", "minimum": 1},
            "refcount_bits": {"type": "integer", "minimum": 1},
            "lazy_refcounts": ON_OFF,
            "subformat": {
                "enum": [
                    *("dynamic", "fixed", "streamOptimized", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat"),
                    *("monolithicSparse", "monolithicFlat"),
                ]
            },
            "static": ON_OFF,
            "zeroed_grain": ON_OFF,
            "adapter_type": {"enum": ["ide", "lsilogic", "buslogic", "legacyESX"]},
        },
        "required": ["qemu_img", "path", "format", "size"],
        "additionalProperties": False,
    },
}
OWN = ("qemu_img", "path", "format", "size")


class Routes:
    """The endpoints, for one lab."""

    def __init__(self, lab: Lab, programs: Programs) -> None:
        self._lab = lab
        self._programs = programs

    def all(self) -> Sequence[Route]:
        binaries: Schema = {"$ref": "labplane:QemuBinaries"}
        return [
            Route(
                "GET",
                "/v1/qemu/binaries",
                self.binaries,
                body={"$ref": "labplane:QemuBinaryFilter"},
                reply=binaries,
                summary="List the programs that run qemu VMs",
            ),
            Route("GET", "/v1/qemu/img-binaries", self.imgs, reply=binaries, summary="List the programs qemu-img"),
            Route(
                "GET",
                "/v1/qemu/capabilities",
                self.capabilities,
                reply={"$ref": "labplane:QemuCapabilities"},
                summary="Say for which platforms KVM works",
            ),
            Route(
                "POST",
                "/v1/qemu/img",
                self.make_image,
                body={"$ref": "labplane:QemuImage"},
                status=201,
                summary="Make an image with qemu-img",
                refusals=(403, 409),
            ),
        ]

    async def binaries(self, request: Request) -> Any:
        """Those of `archs`, if the body has them."""
        wanted = request.body.get("archs")
        found = self._programs.installed()
        if wanted is not None:
            found = [path for path in found if path.name.removeprefix("qemu-system-") in wanted]
        return await self._with_versions(found)

    async def imgs(self, _: Request) -> Any:
        return await self._with_versions(self._programs.imgs())

    async def capabilities(self, _: Request) -> Any:
        works = []
        for path in self._programs.installed():
            found = PROGRAM.fullmatch(path.name)
            emulated = found[1] if found is not None else None
            if emulated in PLATFORMS and not await self._programs.kvm_fault(path, emulated):
                works.append(emulated)
        return {"kvm": sorted(works)}

    async def make_image(self, request: Request) -> None:
        """Made in a directory of its own, to which qemu-img is confined, and moved from there when it is whole."""
        body = request.body
        if PurePath(body["qemu_img"]).name != "qemu-img":
            raise BadRequest(f"qemu_img {body['qemu_img'][:100]!r} must be the name of a qemu-img.")
        program = self._programs.img()
        path = self._lab.image_path(KIND, body["path"])
        draft = path.parent / f".labplane-{secrets.token_hex(8)}"
        options = [word for name in sorted(body.keys() - {*OWN}) for word in ("-o", f"{name}={body[name]}")]
        command = [str(program), "create", "-q", "-f", body["format"], *options, path.name, f"{body['size']}M"]
        if path.name.startswith("-"):
            raise BadRequest(f"path {body['path'][:100]!r} begins with '-'; choose another name.")
        await asyncio.to_thread(_make_draft, path, draft)
        try:
            await run_tool(self._lab, command, draft, Needs(), SECONDS)
            await asyncio.to_thread(_move, draft, path.parent)
        finally:
            await asyncio.to_thread(shutil.rmtree, draft, ignore_errors=True)

    async def _with_versions(self, programs: Sequence[Path]) -> Any:
        found = []
        for path in programs:
            try:
                found.append({"path": str(path), "version": await self._programs.version(path)})
            except LabError:
                continue  # what cannot say its version cannot run a VM either
        return found


def _make_draft(path: Path, draft: Path) -> None:
    if path.exists():
        raise Conflict(f"There is an image {path.name} already; choose another name, or delete it first.")
    draft.mkdir(parents=True)
    draft.chmod(0o777)  # qemu-img may have a user of its own


def _move(draft: Path, folder: Path) -> None:
    """Move all files of an image at once, or none; some formats have several."""
    names = sorted(os.listdir(draft))
    made: list[Path] = []
    try:
        for name in names:
            os.link(draft / name, folder / name)
            made.append(folder / name)
    except FileExistsError:
        for path in made:
            path.unlink()
        raise Conflict(f"There is a file {name} already; choose another name, or delete it first.") from None
