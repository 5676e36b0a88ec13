"""The projects plugin: its routes, the table of open projects, and their directories."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from labplane import BadRequest, Conflict, Forbidden, Lab, NotFound, Plugin, Request, Route, Schema, hook, remove_tree
from labplane_projects.drafts import drafts_below
from labplane_projects.places import Places
from labplane_projects.project import MARKER, Place, Project
from labplane_projects.schemas import SCHEMAS

log = logging.getLogger("labplane.projects")

OPEN, CLOSED, GOING = "open", "closed", "going"  # of a project as it is kept; GOING is one that is being deleted


class Projects(Plugin):
    """Projects: section 5 of docs/api.md, and C-3."""

    def __init__(self, lab: Lab, config: Mapping[str, Any]) -> None:
        super().__init__(lab, config)
        self._projects: dict[str, Project] = {}
        self._places = Places()
        self._location = lab.settings.projects_path
        lab.at_start(self._start)
        lab.at_end(self._end)

    @hook
    def schemas(self) -> Mapping[str, Schema]:
        return SCHEMAS

    @hook
    def routes(self) -> Iterable[Route]:
        create: Schema = {"$ref": "labplane:ProjectCreate"}
        update: Schema = {"$ref": "labplane:ProjectUpdate"}
        project: Schema = {"$ref": "labplane:Project"}
        one = "/v1/projects/{project_id}"
        return [
            Route(
                "POST",
                "/v1/projects",
                self.create,
                body=create,
                reply=project,
                status=201,
                summary="Create or open a project",
                refusals=(409,),
            ),
            Route(
                "GET",
                "/v1/projects",
                self.list,
                reply={"type": "array", "items": project},
                summary="List the open projects",
            ),
            Route(
                "GET",
                "/v1/closed-projects",
                self.list_closed,
                reply={"type": "array", "items": project},
                summary="List the closed projects whose files are kept",
            ),
            Route("GET", one, self.show, reply=project, summary="Show a project"),
            Route(
                "PUT",
                one,
                self.update,
                body=update,
                reply=project,
                summary="Change a project",
                refusals=(409,),
            ),
            Route("DELETE", one, self.delete, status=204, summary="Close a project and delete its files"),
            Route("POST", one + "/commit", self.commit, status=204, summary="Delete the files of deleted VMs"),
            Route("POST", one + "/close", self.close, status=204, summary="Close a project, keep its files"),
        ]

    @hook
    def project_dir(self, project_id: str) -> Path | None:
        project = self._projects.get(project_id)
        return project.path if project is not None and project.open else None

    async def create(self, request: Request) -> Any:
        """P-1 to P-6."""
        body = request.body
        name = body.get("name")
        project_id = (body.get("project_id") or str(uuid4())).lower()
        while (known := self._projects.get(project_id)) is not None:
            async with known.lock:
                if not known.gone:
                    return known.to_object(self._location)
        kept = self.store.get(project_id)
        path = self._path(body.get("path"), self._location / project_id if kept is None else self._place(project_id))
        if name is None and kept is not None:
            name = kept["name"]
        project = Project(project_id, name, path)
        async with project.lock:  # which nothing else knows yet, so this waits for nothing
            self._projects[project_id] = project
            try:
                temporary = body.get("temporary", False)
                with self._reserved(project, path):
                    async with self._kept(project, name, path, temporary):
                        project.settled(await asyncio.to_thread(project.settle, path, temporary))
                if path.parent != self._location:  # those in it were swept at start
                    await self._sweep(path)
                await self.lab.restore(project_id, path)
            except BaseException:
                self._forget(project)
                raise
            project.open = True
        return project.to_object(self._location)

    def list(self, _: Request) -> Any:
        """P-8."""
        return [project.to_object(self._location) for project in self._projects.values() if project.open]

    async def list_closed(self, _: Request) -> Any:
        """P-16."""
        closed = [
            Project(project_id, value["name"], self._place(project_id))
            for project_id, value in self.store.items()
            if value["status"] == CLOSED and project_id not in self._projects
        ]
        there = await asyncio.to_thread(lambda: [project for project in closed if project.path.is_dir()])
        return [project.to_object(self._location) for project in there]

    def show(self, request: Request) -> Any:
        """P-7."""
        return self._get(request.project_id).to_object(self._location)

    async def update(self, request: Request) -> Any:
        """P-9, P-10."""
        body = request.body
        name = body.get("name")
        project = self._get(request.project_id)
        async with project.lock:
            self._refuse_gone(project)
            old, was_temporary = project.path, project.temporary
            path, temporary = self._path(body.get("path"), old), body.get("temporary", was_temporary)
            name = name if name is not None else project.name
            async with self._kept(project, name, path, temporary):
                if path == old:
                    project.settled(await asyncio.to_thread(project.settle, path, temporary))
                else:
                    await self._move(project, path, temporary)
            project.name = name
            if path != old and was_temporary:
                await self._clear(old, project.id)
        return project.to_object(self._location)

    async def commit(self, request: Request) -> None:
        """P-11."""
        project = self._get(request.project_id)
        async with project.lock:
            self._refuse_gone(project)
            await self.lab.commit(project.id)

    async def close(self, request: Request) -> None:
        """P-12."""
        await self._close(self._get(request.project_id), delete=False)

    async def delete(self, request: Request) -> None:
        """P-13."""
        await self._close(self._get(request.project_id), delete=True)

    async def _close(self, project: Project, *, delete: bool) -> None:
        """Close the project; it stays open, without VMs, when its directory is to go and cannot be removed."""
        async with project.lock:
            self._refuse_gone(project)
            goes = delete or project.temporary
            before = self.store.get(project.id)
            if not self.lab.ending:
                await self.store.put(project.id, {**before, "status": GOING if goes else CLOSED})
            await self.lab.close(project.id, leave=not goes)
            project.open = False
            if goes:
                self.lab.forget(project.id)
                try:
                    await asyncio.to_thread(remove_tree, project.path)
                except BaseException:
                    project.open = True
                    self.store.put_later(project.id, before)
                    raise
                self.store.put_later(project.id, None)
            self._forget(project)

    def _place(self, project_id: str) -> Path:
        """The directory that a project has, or had when it was closed."""
        path: str | None = self.store.get(project_id)["path"]
        return self._location / project_id if path is None else Path(path)

    @asynccontextmanager
    async def _kept(self, project: Project, name: str | None, path: Path, temporary: bool) -> AsyncIterator[None]:
        """Keep the project as it is going to be, before the block makes it so; if that fails it has never been."""
        before = self.store.get(project.id)
        value = {
            "name": name,
            "path": None if path == self._location / project.id else str(path),
            "temporary": temporary,
            "found": project.found,
            "status": OPEN,
        }
        await self.store.put(project.id, value)
        try:
            yield
        except BaseException:
            self.store.put_later(project.id, before)
            raise
        if project.found != value["found"]:
            self.store.put_later(project.id, {**value, "found": project.found})

    async def _move(self, project: Project, path: Path, temporary: bool) -> None:
        """Let the project live in another directory (P-10). No VM of it starts, comes or goes meanwhile."""
        with self._reserved(project, path):
            async with self.lab.vms_held(project.id):
                self._check_move(project, path)
                project.settled(await asyncio.to_thread(project.settle, path, temporary))
                self.lab.moved(project.id)

    async def _clear(self, path: Path, project_id: str | None = None) -> bool:
        """Remove what no project needs any more, a file or a directory; what cannot be removed is told and stays."""
        try:
            await asyncio.to_thread(_remove, path)
        except OSError as error:
            sentence = f"{error.filename or path} stays, for it cannot be removed: {error.strerror}."
            log.warning("%s", sentence)
            self.lab.events.emit("log.warning", {"message": sentence}, project_id)
            return False
        return True

    @contextmanager
    def _reserved(self, project: Project, path: Path) -> Iterator[None]:
        """Keep `path` for the project meanwhile. Raises Conflict when it overlaps that of another."""
        if (other := self._places.other_at(path, project.id)) is not None:
            raise Conflict(f"{path} overlaps the directory of the open project {other}.")
        self._places.put(project.id, {project.path, path})
        try:
            yield
        finally:
            self._places.put(project.id, {project.path})

    async def _start(self) -> None:
        """Open the projects that were open, then remove what an earlier run left: temporary projects and drafts."""
        goes = []
        for project_id, value in self.store.items():
            path = self._place(project_id)
            if value["status"] == GOING or (value["temporary"] and (path / MARKER).exists()):
                self.lab.forget(project_id)
                goes.append(project_id)
            elif value["status"] == OPEN:
                await self._open_again(project_id, value, path)
        await self.lab.all_restored()
        for project_id in goes:
            log.info("removing the project %s, which was to go with an earlier run", project_id)
            if await self._clear(self._place(project_id)):
                self.store.put_later(project_id, None)
        for marker in self._location.glob(f"*/{MARKER}"):
            if self.store.get(marker.parent.name) is None:  # it is of a server that kept no projects
                log.info("removing the temporary project %s that an earlier run left", marker.parent.name)
                await self._clear(marker.parent)
        await self._sweep(self._location)

    async def _open_again(self, project_id: str, value: Mapping[str, Any], path: Path) -> None:
        project = Project(project_id, value["name"], path)
        if not await asyncio.to_thread(path.is_dir) or self._places.other_at(path, project_id) is not None:
            log.error("the project %s stays closed: its directory %s is not there", project_id, path)
            self.store.put_later(project_id, {**value, "status": CLOSED})
            return
        with suppress(OSError):  # of a change to a temporary project that was not completed
            (path / MARKER).unlink(missing_ok=True)
        project.settled(Place(path, False, value["found"]))
        self._places.put(project_id, {path})
        self._projects[project_id] = project
        async with project.lock:
            await self.lab.restore(project_id, path)
            project.open = True

    async def _sweep(self, root: Path) -> None:
        """Remove the drafts below `root`, which nothing is making any more."""
        for draft in await asyncio.to_thread(lambda: list(drafts_below(root, _log_unreadable))):
            log.info("removing %s, which an earlier run left unfinished", draft)
            await self._clear(draft)

    async def _end(self) -> None:
        open_projects = [project for project in self._projects.values() if not project.gone]
        closing = (self._close(project, delete=False) for project in open_projects)
        for project, error in zip(open_projects, await asyncio.gather(*closing, return_exceptions=True), strict=True):
            if isinstance(error, Exception):
                log.error("the project %s is not closed in order: %s", project.id, error)

    def _get(self, project_id: str) -> Project:
        project = self._projects.get(project_id)
        if project is None or not project.open:
            raise NotFound(f"There is no open project {project_id}; POST /v1/projects opens one.")
        return project

    def _refuse_gone(self, project: Project) -> None:
        if project.gone:
            raise NotFound(f"The project {project.id} was closed meanwhile.")

    def _forget(self, project: Project) -> None:
        project.gone = True
        self._places.put(project.id, ())
        if self._projects.get(project.id) is project:
            del self._projects[project.id]

    def _path(self, given: str | None, default: Path) -> Path:
        if given is None or given == str(default):
            return default
        if not self.lab.settings.local:
            raise Forbidden("Only a server in local mode (--local) lets clients choose the path of a project.")
        if "\0" in given or not Path(given).is_absolute():
            raise BadRequest("'path' must be an absolute path.")
        try:
            path = Path(given).resolve()
        except (OSError, RuntimeError):  # RuntimeError is what Python before 3.13 makes of a loop
            raise Conflict(f"'path' {given[:300]!r} leads nowhere: its symbolic links form a loop.") from None
        if self.lab.data_dir in (path, *path.parents):
            raise Conflict(f"{path} is the server's own; it cannot be a project.")
        if path == self._location or path in self._location.parents:
            raise Conflict(f"{path} contains the projects directory; it cannot be a project itself.")
        return path

    def _check_move(self, project: Project, path: Path) -> None:
        if _overlap(path, project.path):
            raise Conflict(f"{path} and {project.path} contain each other.")
        if running := [str(vm) for vm in self.lab.vms.of(project.id) if vm.status != "stopped"]:
            raise Conflict(f"Stop {', '.join(running)} before the project is moved.")


def _overlap(one: Path, other: Path) -> bool:
    return one == other or one in other.parents or other in one.parents


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        remove_tree(path)
    else:
        path.unlink(missing_ok=True)


def _log_unreadable(error: OSError) -> None:
    log.warning("%s is not searched for drafts: %s", error.filename, error.strerror)
