"""The whole plugin contract: four hooks, all plain functions, asked once at start."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pluggy

from labplane.schemas import Schema

if TYPE_CHECKING:
    from labplane.drivers import Driver
    from labplane.lab import Lab
    from labplane.routing import Route

NAMESPACE = "labplane"

hook = pluggy.HookimplMarker(NAMESPACE)
_hookspec = pluggy.HookspecMarker(NAMESPACE)


class Hooks:
    """What the kernel asks a plugin. A hook says what there is; what runs later are methods of what it returned."""

    @_hookspec
    def schemas(self) -> Mapping[str, Schema]:
        """Named JSON Schemas; any schema may refer to one as ``{"$ref": "labplane:NAME"}``."""
        return {}

    @_hookspec
    def routes(self) -> "Iterable[Route]":
        """HTTP routes."""
        return ()

    @_hookspec
    def drivers(self) -> "Iterable[Driver]":
        """The kinds of VM that it can run."""
        return ()

    @_hookspec(firstresult=True)
    def project_dir(self, project_id: str) -> Path | None:
        """Where the files of that project live, as an absolute path; None when the plugin has it not open.

        The first answer counts; a project that no plugin has open is not found. Asked for each request that names one.
        """
        return None


HOOKS = tuple(name for name in vars(Hooks) if not name.startswith("_"))


class Plugin(Hooks):
    """A plugin: a subclass that marks the hooks it implements with ``@labplane.hook``.

    settings: JSON Schema of each key of ``[plugins.<name>]`` in labplane.toml.

    The kernel makes one instance for each lab. `config` holds the keys of `settings` that are set or have a default;
    it is a live view, which a reload of the configuration changes.
    """

    settings: ClassVar[Mapping[str, Schema]] = {}

    def __init__(self, lab: "Lab", config: Mapping[str, Any]) -> None:
        self.lab = lab
        self.config = config
