"""The files plugin: its settings, its routes and their endpoints."""

import asyncio
import hashlib
import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import IO, Any, ClassVar

from starlette.concurrency import iterate_in_threadpool

from labplane import Conflict, NotFound, Plugin, Request, Route, Schema, TooLarge, hook
from labplane_files.archive import opened, zipped
from labplane_files.description import describe
from labplane_files.download import PIECE, Download, saved_as
from labplane_files.importing import bring_in, require_no_vms
from labplane_files.omissions import Omissions
from labplane_files.parts import Parts
from labplane_files.paths import Draft, files_below, open_file, readable
from labplane_files.unpack import Limits

GIB = 1024**3
BYTES = "application/octet-stream"
ARCHIVE = "application/gns3project"


class Files(Plugin):
    """Project files, export and import: section 16 of docs/api.md."""

    settings: ClassVar[Mapping[str, Schema]] = {
        "file_max_bytes": {"type": "integer", "minimum": 1, "default": 4 * GIB},
        "import_max_bytes": {"type": "integer", "minimum": 1, "default": 4 * GIB},
        "import_max_files": {"type": "integer", "minimum": 1, "default": 10000},
        "import_max_ratio": {"type": "integer", "minimum": 1, "default": 200},
    }

    @hook
    def schemas(self) -> Mapping[str, Schema]:
        text: Schema = {"type": "string"}
        entry = {"type": "object", "properties": {"path": text, "md5sum": text}, "required": ["path", "md5sum"]}
        return {"ProjectFiles": {"type": "array", "items": entry}}

    @hook
    def routes(self) -> Iterable[Route]:
        project = "/v1/projects/{project_id}"
        files, file = project + "/files", project + "/files/{path:path}"
        listed: Schema = {"$ref": "labplane:ProjectFiles"}
        shown: Schema = {"type": "object", "description": "the project"}
        return [
            Route("GET", files, self.list, reply=listed, summary="List a project's files"),
            Route("GET", file, self.read, summary="Read a file of a project", media=BYTES, refusals=(409,)),
            Route("POST", file, self.write, summary="Write a file of a project", refusals=(409,), streams=True),
            Route("GET", project + "/export", self.export, summary="Export a project as a zip", media=ARCHIVE),
            Route(
                "POST",
                project + "/import",
                self.import_,
                reply=shown,
                status=201,
                summary="Import an exported project",
                refusals=(409,),
                streams=True,
            ),
        ]

    async def list(self, request: Request) -> Any:
        """F-1."""
        omissions = Omissions(self.lab, request.project_id, "list of files")
        summed = _summed(self._root(request), omissions)
        entries = [entry async for entry in iterate_in_threadpool(summed) if entry]
        omissions.tell()
        return entries

    async def read(self, request: Request) -> Any:
        """F-2."""
        file = await asyncio.to_thread(open_file, self._root(request), _path(request))
        return Download(iter(partial(file.read, PIECE), b""), file.close, BYTES)

    async def write(self, request: Request) -> None:
        """F-3."""
        path = _path(request)
        async with self.lab.held(request.project_id) as root:
            draft = await asyncio.to_thread(Draft, root, path)
        with closing(draft):
            await _receive(request, draft.file, self.config["file_max_bytes"])
            async with self.lab.held(request.project_id) as place:
                if place != root:
                    raise Conflict("The project was moved meanwhile; write the file again.")
                await asyncio.to_thread(draft.keep)

    async def export(self, request: Request) -> Any:
        """F-7."""
        description = await describe(self.lab, request.project_id)
        root = self._root(request)
        names = await asyncio.to_thread(Parts(self.lab, request.project_id).names, root)
        omissions = Omissions(self.lab, request.project_id, "export")
        pieces = zipped(root, json.dumps(description, indent=4, sort_keys=True).encode(), names, omissions)

        def close() -> None:
            pieces.close()
            omissions.tell()

        name = f"{description['name'] or request.project_id}.gns3project"
        return Download(pieces, close, ARCHIVE, {"Content-Disposition": saved_as(name)})

    async def import_(self, request: Request) -> Any:
        """F-9."""
        require_no_vms(self.lab, request.project_id)
        limits = Limits(*(self.config[f"import_max_{what}"] for what in Limits._fields))
        async with self.lab.held(request.project_id) as root:
            await asyncio.to_thread(root.mkdir, parents=True, exist_ok=True)
            file: IO[bytes] = await asyncio.to_thread(tempfile.TemporaryFile, dir=root)
        try:
            await _receive(request, file, limits.bytes)
        except BaseException:
            file.close()
            raise
        # The import is finished even if this request is cancelled because the server ends.
        return await asyncio.shield(self.lab.background(bring_in(self.lab, request.project_id, file, limits)))

    def _root(self, request: Request) -> Path:
        return self.lab.project_dir(request.project_id)


def _path(request: Request) -> str:
    path = str(request.path["path"])
    if not path or path.endswith("/"):
        raise NotFound(f"There is no route {request.scope['path'][:200]}.")
    return path


async def _receive(request: Request, file: IO[bytes], limit: int) -> None:
    """Write the request's body into `file`. Raises TooLarge, before reading if the announced length is too large."""
    announced = dict(request.scope["headers"]).get(b"content-length", b"0")
    size = int(announced[:20]) if announced.isdigit() else 0
    if size <= limit:
        size = 0
        async for piece in request.stream():
            size += len(piece)
            if size > limit:
                break
            await asyncio.to_thread(file.write, piece)
    if size > limit:
        raise TooLarge(f"The body is larger than {limit} bytes.")
    await asyncio.to_thread(file.flush)


def _summed(root: Path, omissions: Omissions) -> Iterator[dict[str, str] | None]:
    """The list entry of each file below `root`, and None after each piece that was read, to give way in between."""
    for path in files_below(root, omissions.add):
        file = opened(root, path, omissions)
        if file is None:
            continue
        with file:
            md5 = hashlib.md5(usedforsecurity=False)
            try:
                while piece := file.read(PIECE):
                    md5.update(piece)
                    yield None
            except OSError as error:
                omissions.add(f"{readable(path)} cannot be read: {error.strerror}.")
                continue
            yield {"path": path, "md5sum": md5.hexdigest()}
