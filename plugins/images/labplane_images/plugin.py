"""The plugin: where images are kept, and their routes, which are those of GNS3 1.4 and 1.5 for each kind of VM."""

import asyncio
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import platformdirs

from labplane import Conflict, NotFound, Plugin, Request, Route, Schema, hook
from labplane_images import store

PATH = "/v1/{kind}/vms"
GIB = 1024**3


def _default() -> str:
    try:
        return str(platformdirs.user_data_path("labplane") / "images")
    except RuntimeError:  # a user without a home
        return "/var/lib/labplane/images"


class Images(Plugin):
    """Keeps the images of each kind in a folder of its name in capitals, as GNS3 does: ``images/QEMU``."""

    settings: ClassVar[Mapping[str, Schema]] = {
        "dir": {"type": ["string", "null"], "pattern": "^/", "description": "an absolute path", "default": None},
        "max_bytes": {"type": "integer", "minimum": 1, "default": 64 * GIB},
    }

    @hook
    def schemas(self) -> Mapping[str, Schema]:
        text: Schema = {"type": "string"}
        image = {
            "filename": text,
            "path": text,
            "filesize": {"type": "integer"},
            "md5sum": {"type": ["string", "null"]},
        }
        return {
            "Image": {"type": "object", "properties": image, "required": list(image), "additionalProperties": False}
        }

    @hook
    def routes(self) -> Iterable[Route]:
        images: Schema = {"type": "array", "items": {"$ref": "labplane:Image"}}
        one = PATH + "/{path:path}"
        return [
            Route("GET", PATH, self.list, reply=images, summary="List the images of a kind of VM", refusals=(404,)),
            Route(
                "POST",
                one,
                self.upload,
                status=204,
                summary="Upload an image",
                refusals=(403, 404, 409, 413),
                streams=True,
            ),
            Route("DELETE", one, self.delete, status=204, summary="Delete an image", refusals=(403, 404, 409)),
        ]

    @hook
    def image_path(self, kind: str, name: str) -> Path:
        return store.path_below(self._folder(kind), name)

    async def list(self, request: Request) -> Any:
        folder = self._folder(self._kind(request))
        return await asyncio.to_thread(lambda: list(store.listed(folder)))

    async def upload(self, request: Request) -> None:
        path = self._path(request)
        self._require_unused(path)
        await store.receive(path, request.stream(), self.config["max_bytes"])

    async def delete(self, request: Request) -> None:
        path = self._path(request)
        self._require_unused(path)
        if not await asyncio.to_thread(store.delete, path):
            raise NotFound(f"There is no image {request.path['path'][:200]}.")

    def _folder(self, kind: str) -> Path:
        return Path(self.config["dir"] or _default()) / kind.upper()

    def _kind(self, request: Request) -> str:
        kind = str(request.path["kind"])
        takers = [name for name in self.lab.drivers if self._has_images(name)]
        if kind not in takers:
            raise NotFound(f"VMs of the kind {kind[:60]!r} have no images here; {', '.join(takers) or 'none'} have.")
        return kind

    def _has_images(self, kind: str) -> bool:
        schemas = self.lab.drivers[kind].properties.values()
        return any(schema.get("format") == "labplane-image" for schema in schemas)

    def _path(self, request: Request) -> Path:
        return store.path_below(self._folder(self._kind(request)), str(request.path["path"]))

    def _require_unused(self, path: Path) -> None:
        for vm in self.lab.vms:
            if path in vm.images() and path.exists():
                raise Conflict(
                    f"The image {path.name} is that of {vm} of project {vm.project_id}, whose disk may be built on it. "
                    "Upload it under another name, or delete that VM first."
                )
