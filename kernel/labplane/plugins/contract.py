"""The whole plugin contract: hooks, which are plain functions, and the class that a plugin derives from."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pluggy

from labplane.validation.schemas import Schema

if TYPE_CHECKING:
    from labplane.api.route import Route
    from labplane.machines.archive_part import ArchivePart
    from labplane.machines.driver import Driver
    from labplane.machines.lab import Lab

NAMESPACE = "labplane"

hook = pluggy.HookimplMarker(NAMESPACE)  # ``@hook`` marks a method that implements a hook
_hookspec = pluggy.HookspecMarker(NAMESPACE)


class Hooks:
    """What the kernel asks a plugin. A hook says what there is; what runs later are methods of what it returned."""

    @_hookspec
    def schemas(self) -> Mapping[str, Schema]:
        """A mapping from names to JSON Schemas (2020-12, but ``2000.0`` is no integer).

        Every schema of every plugin may refer to one as ``{"$ref": "labplane:NAME"}``. The names are shared by all;
        begin yours with your own. The kernel has UUID, PortNumber and Name, and UUIDOrNull, PortNumberOrNull and
        NameOrNull, which null fits too. A reference to any other place is refused: nothing is ever fetched.
        """
        return {}

    @_hookspec
    def routes(self) -> "Iterable[Route]":
        """HTTP routes, each a `Route`. A method at a path that somebody has already is refused."""
        return ()

    @_hookspec
    def drivers(self) -> "Iterable[Driver]":
        """The kinds of VM that the plugin can run: one `Driver` object for each."""
        return ()

    @_hookspec
    def archive_parts(self) -> "Iterable[ArchivePart]":
        """What to do with files of yours when a project is exported or imported: one `ArchivePart` for each sort of
        file. Files that no part speaks of travel as they are.
        """
        return ()

    @_hookspec(firstresult=True)
    def project_dir(self, project_id: str) -> Path | None:
        """Where the files of that project live, as an absolute path; None when the plugin has it not open.

        The first answer counts; a project that no plugin has open is not found. Asked for each request that names one.
        Only who keeps projects, as labplane's own plugin ``projects`` does, implements this.
        """
        return None

    @_hookspec(firstresult=True)
    def image_path(self, kind: str, name: str) -> Path | None:
        """Where the image is, or would be, that VMs of that kind know by `name`, as an absolute path; None if it is not
        yours. Raises a LabError for what can be no name of an image.

        The first answer counts. Asked for each setting of the format "labplane-image". Only who keeps images, as
        labplane's own plugin ``images`` does, implements this.
        """
        return None

    @_hookspec(firstresult=True)
    def api_version(self, user_agent: str) -> str | None:
        """The API version that a client with this ``User-Agent`` is told; None for a client that is not yours.

        The first answer counts; without one the client is told the version that the API is documented with. Asked for
        each request to /v1/version while the setting ``api_version`` is "auto". `user_agent` is "" when there is none.
        """
        return None


HOOKS = tuple(name for name in vars(Hooks) if not name.startswith("_"))


class Plugin(Hooks):
    """A plugin: a subclass that marks the hooks it implements with ``@labplane.hook``.

    settings: JSON Schema of each key of ``[plugins.<name>]`` in labplane.toml; ``default`` is honoured.
    lab:      the lab that the instance is for, a `Lab`.
    config:   the keys of `settings` that are set or have a default. A live view: a reload of the settings changes it.
    store:    what it keeps over restarts of the server, a `Store`; there once the server starts (`Lab.at_start`).

    The kernel makes one instance for each lab. Two labs may live in one process, so keep what you need in the instance,
    nothing in globals. An ``__init__`` of your own begins with ``super().__init__(lab, config)``.
    """

    settings: ClassVar[Mapping[str, Schema]] = {}

    def __init__(self, lab: "Lab", config: Mapping[str, Any]) -> None:
        self.lab = lab
        self.config = config
        self.store = lab.store()
