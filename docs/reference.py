"""Writes the reference pages from signatures and docstrings: cog calls it where a page says so."""

import ast
import inspect
import json
import re
import textwrap
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

import platformdirs

import labplane
from labplane.errors import LabError
from labplane.plugins.contract import HOOKS, Hooks
from labplane.settings import SETTINGS, Settings

TREE = Path(__file__).parent.parent

_ITEM = re.compile(r"(?P<names>[a-z_]+(, [a-z_]+)*): +(?P<text>.*)")
_QUOTED_TYPE = re.compile(r'(?<=[:>] )"([^"]+)"|(?<=\[)"([^"]+)"')


def hooks() -> str:
    """Each hook: its arguments, its types, what it is asked for."""
    return "\n\n".join(_function(getattr(Hooks, name), 3) for name in HOOKS)


def cls(what: type, methods: Collection[str] | None = None, *, level: int = 2) -> str:
    """A class: what it is for, its attributes with their types and defaults, its methods, or those of these names."""
    parts = [f"{'#' * level} `{what.__name__}`", _text(what)]
    if fields := list(_fields(what)):
        parts.insert(1, _python("\n".join(fields)))
    wanted = [name for name in _methods(what) if methods is None or name in methods]
    parts += [_function(vars(what)[name], level + 1) for name in wanted]
    return "\n\n".join(parts)


def function(what: Callable[..., Any], *, level: int = 2) -> str:
    """A function: its arguments, its types, what it does."""
    return _function(what, level)


def file(path: str) -> str:
    """A file of the project, by its path from the root."""
    return f"```{'python' if path.endswith('.py') else 'toml'}\n{(TREE / path).read_text('utf-8')}```"


def attribute(what: type, name: str) -> str:
    """A class with one of its attributes, as its source has them."""
    (field,) = (field for field in _fields(what) if field.startswith(f"{name}:"))
    return _python(f"class {what.__name__}({what.__bases__[0].__name__}):\n    {field}")


def schema(name: str) -> str:
    """One of the schemas that labplane offers, as JSON."""
    return f"### `{name}`\n\n```json\n{json.dumps(getattr(labplane, name), indent=4)}\n```"


def settings() -> str:
    """The table of all settings."""
    home = str(platformdirs.user_data_path("labplane"))
    defaults = Settings()
    rows = []
    for name, row in SETTINGS.items():
        default = json.dumps(getattr(defaults, name)).replace(home, "~/.local/share/labplane")
        options = ", ".join(f"`{option}`" for option in row.option.partition(" ")[0].split("/") if option)
        rows.append((f"`{name}`", f"`{default}`", options, "yes" if row.reload else "", _escaped(row.meaning)))
    return re.sub(r"  +", " ", _table(("Key", "Default", "Option", "Reload", "Meaning"), rows))


def errors() -> str:
    """A table of what a plugin may raise."""
    offered: list[type[LabError]] = [
        what
        for what in (getattr(labplane, name) for name in labplane.__all__)
        if isinstance(what, type) and issubclass(what, LabError) and what is not LabError
    ]
    rows = []
    for error in sorted(offered, key=lambda error: (error.status, error.__name__)):
        status, _, meaning = (inspect.getdoc(error) or "").partition(": ")
        rows.append((f"`{error.__name__}`", status, _escaped(_code(meaning.split("\n\n")[0]))))
    return "\n\n".join([_text(LabError), _table(("Error", "Status", "Meaning"), rows)])


def _fields(what: type) -> Iterator[str]:
    """The attributes that the class itself declares, as its source has them."""
    source, node = _parsed(what)
    for statement in node.body:
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            declared, equals, default = (ast.get_source_segment(source, statement) or "").partition(" = ")
            yield _unquoted(declared) + equals + default


def _methods(what: type) -> Iterator[str]:
    """The names of its public methods and properties, in the order of the source."""
    for name, member in vars(what).items():
        if not name.startswith("_") and (inspect.isfunction(member) or isinstance(member, property)):
            yield name


def _function(member: Any, level: int) -> str:
    function: Any = member.fget if isinstance(member, property) else member
    source, node = _parsed(function)
    lines = source.splitlines()[: node.body[0].lineno - 1]
    signature = "\n".join(line for line in lines if not line.startswith("@_")).removesuffix(":")
    arguments = ", ".join(inspect.signature(function).parameters)
    kind = "async " if inspect.iscoroutinefunction(function) else ""
    title = function.__name__ if isinstance(member, property) else f"{kind}{function.__name__}({arguments})"
    return "\n\n".join([f"{'#' * level} `{title}`", _python(_unquoted(signature)), _text(function)])


def _parsed(what: Any) -> tuple[str, Any]:
    source = textwrap.dedent(inspect.getsource(what))
    return source, ast.parse(source).body[0]


def _text(what: Any) -> str:
    """A docstring as Markdown; a paragraph of "name: text" lines becomes a table."""
    doc = vars(what).get("__doc__") if isinstance(what, type) else what.__doc__
    if not doc:
        raise LookupError(f"{what.__qualname__} has no docstring")
    return "\n\n".join(_paragraph(paragraph) for paragraph in inspect.cleandoc(doc).split("\n\n"))


def _paragraph(text: str) -> str:
    rows: list[tuple[str, str]] = []
    for line in text.splitlines():
        if item := _ITEM.fullmatch(line):
            rows.append((", ".join(f"`{name}`" for name in item["names"].split(", ")), item["text"]))
        elif rows and line.startswith(" "):
            rows[-1] = (rows[-1][0], f"{rows[-1][1]} {line.strip()}")
        else:
            return _code(text)
    return _table(("Name", "Meaning"), [(names, _escaped(_code(meaning))) for names, meaning in rows])


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines).replace("| --- ", "|---").replace("--- |", "---|")


def _python(text: str) -> str:
    return f"```python\n{text}\n```"


def _code(text: str) -> str:
    return text.replace("``", "`")


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


def _unquoted(text: str) -> str:
    """Types without the quotes that keep imports from going round in circles."""
    return _QUOTED_TYPE.sub(lambda found: found[1] or found[2], text)
