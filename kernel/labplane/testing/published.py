"""The driver under test as the API document of a server describes it: its schemas and its actions."""

from collections.abc import Mapping
from typing import Any

from referencing import Registry
from referencing.jsonschema import DRAFT202012

from labplane.testing import judging
from labplane.testing.judging import Schema, Validator
from labplane.testing.server import Server

HERE = "labplane-document:"
EVERY_ACTION = ("start", "stop", "reload", "suspend", "resume")
KERNELS_OWN = frozenset({"name", "vm_id", "console", "project_id", "status", "vm_directory"})


class Published:
    """One kind of VM in the API document.

    create, update, nio, vm: the schemas of requests and of VM objects.
    own:     the schema of each setting that is the driver's own.
    readonly: the names of the members that its VM objects have and its requests have not.
    rewires_live: whether a VM that runs works with a changed link at once, and not only from its next start on.
    actions: the names of the actions of its VMs.
    """

    def __init__(self, kind: str, document: Mapping[str, Any]) -> None:
        self.kind = kind
        schemas = document["components"]["schemas"]
        resource = DRAFT202012.create_resource(dict(document))
        self._registry: Registry[Any] = Registry().with_resource(HERE, resource)
        self._resolver = self._registry.resolver(HERE)
        prefix = "".join(word.capitalize() for word in kind.split("_"))
        self.create, self.update, self.nio, self.vm = (
            schemas[prefix + what] for what in ("Create", "Update", "NIO", "VM")
        )
        self.own: Mapping[str, Schema] = {
            name: schema
            for name, schema in self.create["properties"].items()
            if name not in KERNELS_OWN and not schema.get("writeOnly")
        }
        self.rewires_live = self.nio.get("x-change") == "live"
        self.readonly = self.vm["properties"].keys() - self.create["properties"].keys() - KERNELS_OWN
        vm = f"/v1/projects/{{project_id}}/{kind}/vms/{{vm_id}}/"
        self.actions = [action for action in EVERY_ACTION if vm + action in document["paths"]]

    @classmethod
    def by(cls, server: Server, kind: str) -> "Published":
        """The kind in the document of `server`; fails, with the reports of all plugins, when it has no such driver."""
        reports = server.http.get("/v1/plugins").json()
        kinds = sorted(kind for report in reports for kind in report["kinds"])
        failed = [f"{one['name']} of {one['distribution']}: {one['error']}" for one in reports if one["error"]]
        assert kind in kinds, (
            f"The server has no driver of the kind {kind!r}, only {', '.join(kinds)}. Is its plugin installed here, or "
            f"named by `options`? Plugins that failed: {'; '.join(failed) or 'none'}."
        )
        return cls(kind, server.http.get("/v1/openapi.json").json())

    @property
    def has_console(self) -> bool:
        return "console" in self.vm["properties"]

    @property
    def nio_types(self) -> Mapping[str, Schema]:
        """The schema of each NIO type that its VMs take."""
        return {branch["if"]["properties"]["type"]["const"]: branch["then"] for branch in self.nio.get("allOf", ())}

    @property
    def foreign_nio_types(self) -> list[str]:
        """The NIO types that are known and that its VMs do not take."""
        return sorted(set(self.nio["properties"]["type"]["enum"]) - self.nio_types.keys())

    def resolve(self, schema: Schema) -> Schema:
        """`schema`, or the named one that it refers to."""
        while "$ref" in schema:
            schema = self._resolver.lookup(schema["$ref"]).contents
        return schema

    def validator(self, schema: Schema) -> Validator:
        """A validator that judges values by `schema` as the server does."""
        anchored = _anchored(schema)
        assert isinstance(anchored, Mapping)
        return judging.validator(anchored, self._registry)

    def complaint(self, schema: Schema, value: Any, whole: str) -> str | None:
        """The reason why `value`, which is called `whole`, does not fit `schema`; None when it does."""
        return judging.complaint(self.validator(schema), value, whole)


def _anchored(part: Any) -> Any:
    """A copy of `part` whose references also hold outside of the document."""
    if isinstance(part, Mapping):
        return {
            key: HERE + inner if key == "$ref" and isinstance(inner, str) else _anchored(inner)
            for key, inner in part.items()
        }
    return [_anchored(inner) for inner in part] if isinstance(part, list) else part
