"""A lab in a file: its nodes, links and tests, checked against the schema of a server."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from labplane_labs.problems import BadFile, Problem
from labplane_labs.reading import Document, read
from labplane_labs.schema import startup_of

COMMON = ("kind", "startup", "position", "notes", "console")


@dataclass(frozen=True)
class Node:
    """settings: what its kind has of its own, as the API takes it; None for what the file says nothing of."""

    name: str
    kind: str
    settings: Mapping[str, Any]
    position: tuple[float, float] | None = None
    notes: str | None = None
    console: int | None = None

    @property
    def place(self) -> Mapping[str, Any]:
        """Where it stands and what is noted of it, as topologies have it; what the file says nothing of is left out."""
        at = {} if self.position is None else {"x": self.position[0], "y": self.position[1]}
        return at if self.notes is None else {**at, "notes": self.notes}


@dataclass(frozen=True)
class End:
    """port: a name, a number among all of the node's, or ADAPTER/PORT; None for the lowest that is free."""

    node: str
    port: str | None

    def __str__(self) -> str:
        return self.node if self.port is None else f"{self.node}:{self.port}"


@dataclass(frozen=True)
class Link:
    """Two ends, or one with the NIO that is plugged in there."""

    ends: tuple[End, ...]
    nio: Mapping[str, Any] | None = None

    def __str__(self) -> str:
        return " -- ".join([*map(str, self.ends), *([] if self.nio is None else [str(self.nio["type"])])])


@dataclass(frozen=True)
class Test:
    """A line to type at a node, and what its output must have, or must not have."""

    __test__ = False  # for pytest

    name: str
    node: str
    run: str
    expect: str | None = None
    reject: str | None = None
    timeout: float = 30.0
    attempts: int = 1


@dataclass(frozen=True)
class LabFile:
    """document: the file as it was read, None for a lab that comes from elsewhere."""

    name: str
    nodes: Mapping[str, Node]
    links: Sequence[Link] = ()
    tests: Sequence[Test] = ()
    document: Document | None = field(default=None, compare=False)


def load(path: Path, schema: Mapping[str, Any]) -> LabFile:
    """The lab in that file. Raises BadFile with all that is wrong, with lines and columns.

    schema: of a server, as `lab_schema` makes it.
    """
    return checked(read(path), schema)


def checked(document: Document, schema: Mapping[str, Any]) -> LabFile:
    """The lab in a YAML document, likewise."""
    problems = list(_misshapen(document, schema))
    if problems:
        raise BadFile(problems)
    data = document.data
    defaults = data.get("defaults") or {}
    nodes: dict[str, Node] = {}
    for name, given in data["nodes"].items():
        try:
            nodes[name] = _node(document, schema, name, given or {}, defaults)
        except BadFile as error:
            problems += error.problems
    links = [_link(link) for link in data.get("links") or []]
    tests = [_test(test) for test in data.get("tests") or []]
    problems += _strangers(document, set(data["nodes"]), links, tests)
    if problems:
        raise BadFile(problems)
    return LabFile(data["name"], nodes, links, tests, document)


def _misshapen(document: Document, schema: Mapping[str, Any]) -> Iterator[Problem]:
    """What is wrong but for the nodes themselves, whose kinds may stand in the defaults."""
    nodes = {**schema["properties"]["nodes"], "additionalProperties": {"type": ["object", "null"]}}
    shape = {**schema, "properties": {**schema["properties"], "nodes": nodes}}
    for error in Draft202012Validator(shape).iter_errors(document.data):
        where = list(error.absolute_path)
        if where[:1] == ["links"] and len(where) > 1:
            says = "a link is [NODE, NODE] or {endpoints: [NODE, NODE]}, where a NODE can be NODE:PORT."
            yield document.problem(where[:2], says)
        else:
            yield _problem(document, where, error)


def _problem(document: Document, where: Sequence[str | int], error: Any) -> Problem:
    if error.validator == "additionalProperties" and isinstance(error.instance, Mapping):
        known = sorted(error.schema.get("properties", {}))
        unknown = next(key for key in error.instance if key not in known)
        says = f"there is no {unknown!r} here; there is {', '.join(known)}."
        return document.problem([*where, unknown], says, key=True)
    if error.validator == "pattern" and list(error.absolute_schema_path)[-2:-1] == ["propertyNames"]:
        says = "a name has letters, digits, '-', '_' and '.', at most 63, and begins with a letter or a digit."
        return document.problem([*where, error.instance], says, key=True)
    if error.validator == "required":
        missing = error.message.partition(" is a required property")[0]  # there is an error for each
        return document.problem(where, f"{missing} is missing here.")
    return document.problem(where, f"{error.message[:300]}.")


def _node(
    document: Document, schema: Mapping[str, Any], name: str, given: Mapping[str, Any], defaults: Mapping[str, Any]
) -> Node:
    kind = given.get("kind", defaults.get("kind"))
    kinds = schema["properties"]["defaults"]["properties"]["kind"]["enum"]
    if kind is None:
        says = f"{name} has no kind; give it one, or the defaults: {', '.join(kinds)}."
        raise BadFile([document.problem(["nodes", name], says, key=True)])
    if kind not in kinds:
        says = (
            f"there is no kind {kind!r} here; there is {', '.join(kinds)}. Is its driver installed? `labplane plugins`"
        )
        raise BadFile([document.problem(["nodes", name, "kind"], says)])
    rule = schema["$defs"][f"node.{kind}"]
    usual = {key: value for key, value in defaults.items() if key in rule["properties"] and key != "kind"}
    problems = []
    for where, values in ((["nodes", name], dict(given)), (["defaults"], usual)):
        errors = Draft202012Validator(rule).iter_errors(values)
        problems += [_problem(document, [*where, *error.absolute_path], error) for error in errors]
    whole = {**usual, **given}
    startup = startup_of(rule["properties"])
    if "startup" in whole and startup in whole:
        problems.append(document.problem(["nodes", name], f"'startup' and {startup!r} are the same; leave one out."))
    if problems:
        raise BadFile(problems)
    settings = {key: value for key, value in whole.items() if key not in COMMON}
    if "startup" in whole and startup is not None:
        settings[startup] = _script(whole["startup"])
    position = whole.get("position")
    return Node(
        name, kind, settings, None if position is None else tuple(position), whole.get("notes"), whole.get("console")
    )


def _script(given: str | Sequence[str] | None) -> str | None:
    text = given if given is None or isinstance(given, str) else "\n".join(given)
    return text if not text or text.endswith("\n") else f"{text}\n"


def _link(given: Any) -> Link:
    ends = given if isinstance(given, list) else given["endpoints"]
    return Link(tuple(_end(end) for end in ends), None if isinstance(given, list) else given.get("nio"))


def _end(text: str) -> End:
    node, _, port = text.partition(":")
    return End(node, port or None)


def _test(given: Mapping[str, Any]) -> Test:
    return Test(**{"name": f"{given['node']}: {given['run']}", **given})


def _strangers(document: Document, nodes: set[str], links: Sequence[Link], tests: Sequence[Test]) -> Iterator[Problem]:
    """Nodes that are named and not there, ports that are used twice, expressions that are none."""
    used: set[tuple[str, str]] = set()
    for number, link in enumerate(links):
        for end in link.ends:
            if end.node not in nodes:
                yield document.problem(["links", number], f"there is no node {end.node!r}; {_those(nodes)}.")
            elif end.port is not None and (end.node, end.port) in used:
                yield document.problem(["links", number], f"{end} is linked twice.")
            elif end.port is not None:
                used.add((end.node, end.port))
    for number, test in enumerate(tests):
        if test.node not in nodes:
            yield document.problem(["tests", number, "node"], f"there is no node {test.node!r}; {_those(nodes)}.")
        for name in ("expect", "reject"):
            try:
                re.compile(getattr(test, name) or "")
            except re.error as error:
                yield document.problem(["tests", number, name], f"this is no regular expression: {error}.")


def _those(nodes: set[str]) -> str:
    return f"there are {', '.join(sorted(nodes)[:20])}" if nodes else "there are no nodes"
