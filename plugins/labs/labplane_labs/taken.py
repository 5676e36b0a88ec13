"""What labs of other programs become: lab files, with a sentence for all that has no place there."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from labplane_labs.problems import BadFile, Problem

LARGEST_SCRIPT = 64 * 1024
SIZES = ("adapters", "ports")  # settings that say how many ports a node has
Script = Callable[[str], str | None]


@dataclass
class Taken:
    """A lab that was taken over. data: of the lab file; left_out: a sentence for all that was not."""

    data: dict[str, Any]
    left_out: list[str] = field(default_factory=list)


class Kinds:
    """What the kinds of a schema of lab files can have."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._definitions = schema["$defs"]

    def __contains__(self, kind: object) -> bool:
        return f"node.{kind}" in self._definitions

    def of(self, kind: str) -> Mapping[str, Any]:
        properties: Mapping[str, Any] = self._definitions[f"node.{kind}"]["properties"]
        return properties

    def settings(self, kind: str, given: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """Those of the settings that the kind has and takes, and the names of the others that are not empty."""
        rules = self.of(kind)
        made = {
            name: value
            for name, value in given.items()
            if name in rules and Draft202012Validator(rules[name]).is_valid(value)
        }
        return made, sorted(
            name for name, value in given.items() if name not in made and value not in (None, "", [], {})
        )

    def room(self, node: Mapping[str, Any], highest: int) -> dict[str, Any]:
        """The setting with which the node has a port of that number, where it would have fewer."""
        rules = self.of(node["kind"])
        for name in SIZES:
            if name in rules and highest >= node.get(name, rules[name].get("default", 1)):
                return {name: highest + 1}
        return {}

    def index(self, node: Mapping[str, Any], adapter: int, port: int) -> int:
        """What `room` counts for that kind: adapters, or ports of one adapter."""
        return adapter if "adapters" in self.of(node["kind"]) else port


def beside(folder: Path) -> Script:
    """Gives the text of a file by its path below `folder`."""

    def script(name: str) -> str | None:
        file = (folder / name).resolve()
        if not file.is_relative_to(folder.resolve()) or not file.is_file():
            return None
        return file.read_bytes()[:LARGEST_SCRIPT].decode(errors="replace")

    return script


def named(label: str, what: str, taken: Mapping[str, Any] | Sequence[str]) -> str:
    """`label` as lab files can have it, and as no other of `taken` is called."""
    plain = re.sub("[^A-Za-z0-9_.-]+", "-", label).strip("-_.")[:55] or what
    name, number = plain, 2
    while name in taken:
        name, number = f"{plain}-{number}", number + 1
    return name


def bad(path: Path, message: str) -> BadFile:
    """The error that says what is wrong with a whole file."""
    return BadFile([Problem(str(path), 0, 0, message)])
