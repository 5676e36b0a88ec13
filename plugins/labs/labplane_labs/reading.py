"""YAML with the line and column of each value, as plain data."""

import io
import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from math import isfinite
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.scanner import RoundTripScanner

from labplane_labs.problems import BadFile, Problem

LARGEST = 4 * 1024 * 1024
MOST_VALUES = 200_000  # aliases can make many of few
DEEPEST = 50

Path_ = Sequence[str | int]


class Document:
    """A YAML file that was read.

    data: its content in JSON types.
    tree: the same with comments, to be changed and written again.
    """

    def __init__(self, name: str, text: str) -> None:
        self.name, self._text = name, text
        self._yaml = yaml_of_labs()
        self._count = 0
        try:
            read = json.loads(text, object_pairs_hook=_unlike, parse_constant=_no_constant)  # JSON is YAML, much faster
        except (ValueError, RecursionError):
            read = self.tree
        self.data = self._plain(read, [])

    @cached_property
    def tree(self) -> Any:
        try:
            return self._yaml.load(self._text)
        except MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            what = " ".join(str(part) for part in (error.problem, error.context) if part)
            line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
            raise BadFile([Problem(self.name, line, column, f"this is no YAML: {what}.")]) from None
        except (YAMLError, ValueError) as error:
            raise BadFile([Problem(self.name, 0, 0, f"this is no YAML: {error}")]) from None
        except RecursionError:
            raise BadFile([Problem(self.name, 0, 0, "this is too much for a lab.")]) from None

    def problem(self, where: Path_, message: str, *, key: bool = False) -> Problem:
        """A problem with the value at that path, or with its key."""
        line, column = self._position(where, key)
        return Problem(self.name, line, column, message)

    def text(self) -> str:
        """The file as it is after changes of `tree`."""
        written = io.StringIO()
        self._yaml.dump(self.tree, written)
        return written.getvalue()

    def _position(self, where: Path_, key: bool) -> tuple[int, int]:
        """The line and column of what is at that path, or of the innermost part of the path that is there."""
        node: Any = self.tree
        found = (0, 0)
        for number, step in enumerate(where):
            places: Any = getattr(node, "lc", None)
            if isinstance(node, Mapping) and step in node:
                last = number == len(where) - 1
                line, column = places.key(step) if key and last else places.value(step)
            elif isinstance(node, list) and isinstance(step, int) and step < len(node):
                line, column = places.item(step)
            else:
                break
            node, found = node[step], (line + 1, column + 1)
        return found if found != (0, 0) else (1, 1)

    def _plain(self, value: Any, where: list[str | int]) -> Any:
        self._count += 1
        if self._count > MOST_VALUES or len(where) > DEEPEST:
            raise BadFile([Problem(self.name, 0, 0, "this is too much for a lab.")])
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str) and _is_text(value):
            return str(value)
        if isinstance(value, int):
            return int(value)
        if isinstance(value, float) and isfinite(value):
            return float(value)
        if isinstance(value, Mapping):
            for key in value:
                if not isinstance(key, str):
                    problem = self.problem([*where, key], f"the key {key!r} is no text; put it into quotes.", key=True)
                    raise BadFile([problem])
                if not _is_text(key):
                    raise BadFile([self.problem(where, f"the key {key!r} has half of a character.")])
            return {str(key): self._plain(inner, [*where, key]) for key, inner in value.items()}
        if isinstance(value, Sequence) and not isinstance(value, bytes | str):
            return [self._plain(inner, [*where, number]) for number, inner in enumerate(value)]
        if isinstance(value, str):
            raise BadFile([self.problem(where, f"{value[:60]!r} has half of a character.")])
        if isinstance(value, float):
            raise BadFile([self.problem(where, f"{value} is no number that a lab can have.")])
        what = type(value).__name__
        raise BadFile([self.problem(where, f"{value} is read as a {what}; put it into quotes if it is a text.")])


def _is_text(value: str) -> bool:
    """Whether it can be written in UTF-8: what "\\ud800" means in JSON cannot."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _unlike(members: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON. Raises ValueError when a key is there twice, which YAML knows how to complain of."""
    made = dict(members)
    if len(made) < len(members):
        raise ValueError("a key is there twice")
    return made


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


class _Scanner(RoundTripScanner):
    """Gives up early: the library reads brackets ahead, and takes the square of their depth for them."""

    def fetch_flow_collection_start(self, TokenClass: Any, to_push: str) -> None:  # noqa: N803 - the library's name
        if len(self.flow_context) > DEEPEST:
            raise RecursionError
        super().fetch_flow_collection_start(TokenClass, to_push)


def yaml_of_labs() -> YAML:
    """YAML 1.2 as lab files are read and written: comments and quotes stay."""
    yaml = YAML(typ="rt")
    yaml.Scanner = _Scanner
    yaml.preserve_quotes = True
    yaml.width = 4096
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml


def read(path: Path) -> Document:
    """The YAML file at `path`. Raises BadFile."""
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise BadFile([Problem(str(path), 0, 0, f"cannot be read: {error.strerror}.")]) from None
    if len(data) > LARGEST:
        raise BadFile([Problem(str(path), 0, 0, f"is longer than {LARGEST} bytes.")])
    return Document(str(path), decoded(str(path), data))


def decoded(name: str, data: bytes) -> str:
    """The text of the file of that name. Raises BadFile."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadFile([Problem(name, 0, 0, "is not in UTF-8.")]) from None
