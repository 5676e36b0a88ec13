"""`Store`: JSON values of a plugin that outlive the server."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple

from labplane.state.state import State, Statement

if TYPE_CHECKING:
    from collections.abc import Callable

LAB = ""  # in place of a project's id
COLUMNS = "plugin, project_id, key, value, vm_id"
PUT = f"INSERT INTO value ({COLUMNS}, position) VALUES (?, ?, ?, ?, ?, ?)"  # noqa: S608
CHANGE = f"{PUT} ON CONFLICT DO UPDATE SET value = excluded.value, vm_id = excluded.vm_id"
REMOVE = "DELETE FROM value WHERE plugin = ? AND project_id = ? AND key = ?"
SELECT = f"SELECT {COLUMNS} FROM value WHERE project_id = ? ORDER BY position"  # noqa: S608


class Value(NamedTuple):
    """A value of a plugin, and the VM with which it goes, if it is of one."""

    value: Any
    vm_id: str | None


class Values:
    """The values of all plugins: those of the lab, and those of the projects that are open."""

    def __init__(self, state: State) -> None:
        self.state = state
        # Of each project: the values of each plugin by their keys, and the plugins and keys that each VM had.
        self._values: dict[str, dict[str, dict[str, Value]]] = {}
        self._of_vms: dict[str, dict[str, dict[tuple[str, str], None]]] = {}

    async def load(self, project_id: str = LAB) -> None:
        """Have the values of that project, or of the lab, at hand."""
        self.unload(project_id)
        for plugin, _, key, value, vm_id in await self.state.write([(SELECT, (project_id,))]):
            self.keep(plugin, project_id, key, json.loads(value), vm_id)

    def unload(self, project_id: str) -> None:
        """Let go of the values of a project, which is closed or deleted."""
        self._values.pop(project_id, None)
        self._of_vms.pop(project_id, None)

    def of(self, plugin: str, project_id: str) -> Mapping[str, Value]:
        return self._values.get(project_id, {}).get(plugin, {})

    def of_vm(self, plugin: str, project_id: str, vm_id: str) -> dict[str, Any]:
        """The values of that plugin that go with a VM, by their keys."""
        keys = [key for owner, key in self.keys_of_vm(project_id, vm_id) if owner == plugin]
        values = self.of(plugin, project_id)
        return {key: values[key].value for key in keys if key in values and values[key].vm_id == vm_id}

    def keys_of_vm(self, project_id: str, vm_id: str) -> list[tuple[str, str]]:
        """The plugin and key of each value that goes with a VM, or did; those too that are just being written."""
        return [*self._of_vms.get(project_id, {}).get(vm_id, ())]

    def expect(self, plugin: str, project_id: str, key: str, vm_id: str) -> None:
        """Take note that a value of a VM is about to be written."""
        self._of_vms.setdefault(project_id, {}).setdefault(vm_id, {})[plugin, key] = None

    def keep(self, plugin: str, project_id: str, key: str, value: Any, vm_id: str | None) -> None:
        """Take note of a value that is written; None when it is gone."""
        values = self._values.setdefault(project_id, {}).setdefault(plugin, {})
        if value is None:
            values.pop(key, None)
            return
        values[key] = Value(value, vm_id)
        if vm_id is not None:
            self.expect(plugin, project_id, key, vm_id)

    def drop(self, project_id: str, vm_id: str) -> None:
        """Let go of the values of a VM, which is deleted."""
        for plugin in {plugin for plugin, _ in self.keys_of_vm(project_id, vm_id)}:
            for key in self.of_vm(plugin, project_id, vm_id):
                del self._values[project_id][plugin][key]
        self._of_vms.get(project_id, {}).pop(vm_id, None)


class Together:
    """Writes of plugins that become part of one that the kernel is about to make.

    statements: theirs.
    """

    def __init__(self) -> None:
        self.statements: list[Statement] = []
        self._then: list[Callable[[], None]] = []

    def add(self, statement: Statement, then: "Callable[[], None]") -> None:
        self.statements.append(statement)
        self._then.append(then)

    def written(self) -> None:
        """The kernel has written them."""
        for then in self._then:
            then()


_together: ContextVar[Together | None] = ContextVar("together", default=None)


@contextmanager
def together() -> Iterator[Together]:
    """Collect what plugins put into their stores while the block runs, in this task; the caller writes it, or not."""
    collected = Together()
    token = _together.set(collected)
    try:
        yield collected
    finally:
        _together.reset(token)


class Store:
    """Values in JSON that a plugin keeps under its own name, of the lab or of a project, over restarts of the server.

    What is put is on the disk when the call returns; what is put in one turn of the event loop is written together, all
    or nothing. Those of a project are there while it is open, stay when it is closed, and go when it is deleted. In the
    course of a driver's work on a VM that is being created they are written together with the VM, once it is whole, or
    not at all.

    A write raises LabError when the disk is full, say; nothing has changed then.
    """

    def __init__(self, values: Values, plugin: str, project_id: str = LAB) -> None:
        self._all = values
        self._plugin = plugin
        self._project_id = project_id

    def of(self, project_id: str) -> "Store":
        """The values of that project."""
        return Store(self._all, self._plugin, project_id)

    def get(self, key: str, default: Any = None) -> Any:
        """The value of `key`, not to be changed."""
        kept = self._all.of(self._plugin, self._project_id).get(key)
        return default if kept is None else kept.value

    def items(self) -> list[tuple[str, Any]]:
        """Each key with its value, in the order in which the keys were first put."""
        return [(key, kept.value) for key, kept in self._all.of(self._plugin, self._project_id).items()]

    def of_vm(self, vm_id: str) -> dict[str, Any]:
        """Those that go with that VM of the project, however many others there are."""
        return self._all.of_vm(self._plugin, self._project_id, vm_id)

    async def put(self, key: str, value: Any, *, vm_id: str | None = None) -> None:
        """Keep `value`, in JSON types; None removes the key. vm_id: of the VM with which it goes, if it is of one."""
        if value is None:
            await self._write((REMOVE, (self._plugin, self._project_id, key)), key, None, None)
        else:
            text, kept = _as_json(value)
            await self._write((CHANGE, self._row(key, text, vm_id)), key, kept, vm_id)

    async def add(self, key: str, value: Any, *, vm_id: str | None = None) -> None:
        """As `put`, of a key that nobody else may have. Raises Conflict when there is a value already."""
        text, kept = _as_json(value)
        await self._write((PUT, self._row(key, text, vm_id)), key, kept, vm_id)

    def put_later(self, key: str, value: Any) -> None:
        """As `put`, without waiting: what cannot be written now is tried again."""
        text, kept = _as_json(value)
        which = (self._plugin, self._project_id, key)
        statement = (REMOVE, which) if kept is None else (CHANGE, self._row(key, text, None))
        self._all.state.note(("value", *which), statement)
        self._all.keep(self._plugin, self._project_id, key, kept, None)

    def _row(self, key: str, text: str, vm_id: str | None) -> Sequence[Any]:
        return self._plugin, self._project_id, key, text, vm_id, self._all.state.next_position()

    async def _write(self, statement: Statement, key: str, value: Any, vm_id: str | None) -> None:
        def keep() -> None:
            self._all.keep(self._plugin, self._project_id, key, value, vm_id)

        if (with_others := _together.get()) is not None:
            with_others.add(statement, keep)
        else:
            if vm_id is not None:
                self._all.expect(self._plugin, self._project_id, key, vm_id)
            await self._all.state.write([statement])
            keep()


def _as_json(value: Any) -> tuple[str, Any]:
    text = json.dumps(value, sort_keys=True, allow_nan=False)
    return text, value if isinstance(value, str) else json.loads(text)
