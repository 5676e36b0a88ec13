"""``labplane new-plugin``: writes the distribution of a plugin, from the templates in templates/."""

import importlib.util
import json
import keyword
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.metadata import Distribution, PackageNotFoundError
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from packaging.utils import InvalidName, canonicalize_name
from packaging.version import Version

from labplane.machines import driver
from labplane.programs import process_driver

if TYPE_CHECKING:
    from labplane.kernel import Kernel

PREFIX = "labplane-"
KIND = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*\Z")
LONGEST_KIND = 32
ANOTHER = "choose another with --kind."


@dataclass(frozen=True)
class Flavour:
    """What a plugin can be made of: its folder of templates, and what its README says; both with ``$name``."""

    folder: str
    description: str
    usage: str
    has_kind: bool = True


_VMS = "Its VMs are at `/v1/projects/{project_id}/$name/vms`, beside those that labplane has itself"

PROCESS = Flavour(
    "process",
    "VMs of the kind $name for labplane, each of which is a program on a terminal.",
    _VMS + ".\nAs written the program is `cat`, which repeats what is typed on the console; put your emulator there.",
)
PLAIN = Flavour(
    "plain",
    "VMs of the kind $name for labplane, without a program or a console.",
    _VMS + ".\nAs written they are hubs of eight ports; put in `start` and `stop` what yours shall do.",
)
ROUTES = Flavour(
    "routes", "The route /v1/$name for labplane.", "It answers `GET /v1/$name` with the number of VMs.", has_kind=False
)
FLAVOURS: Mapping[str, Flavour] = {flavour.folder: flavour for flavour in (PROCESS, PLAIN, ROUTES)}


class ScaffoldError(Exception):
    """The plugin cannot be written; the text says why and what to do."""


def new_plugin(
    distribution: str, flavour: Flavour, lab: "Kernel", version: str, *, parent: Path, kind: str | None = None
) -> Path:
    """Write the distribution into a directory of its name below `parent`, whole or not at all; that directory.

    lab:     with what is installed, next to which it shall work.
    version: labplane's own, from which the range of versions follows that the plugin asks for.
    kind:    of VM; by default `distribution` without "labplane-".

    Raises ScaffoldError.
    """
    module = _module(distribution)
    name = _name(distribution, flavour, kind)
    _check_free(name, flavour, lab)
    stem = "".join(word.capitalize() for word in name.split("_"))
    if any(hasattr(module, f"{stem}Driver") for module in (driver, process_driver)):
        raise ScaffoldError(f"The class of {name!r} would be called {stem}Driver like one of labplane's; {ANOTHER}")
    words = {
        "distribution": distribution,
        "module": module,
        "name": name,
        "stem": stem,
        "range": versions_from(version),
        **_origin(),
    }
    words |= {part: Template(getattr(flavour, part)).substitute(words) for part in ("description", "usage")}
    target = parent / distribution
    try:
        if target.is_symlink() or (target.exists() and (not target.is_dir() or any(target.iterdir()))):
            raise ScaffoldError(f"{target} exists already; remove it, or choose another name or directory.")
        with tempfile.TemporaryDirectory(prefix=".new-plugin-", dir=parent) as scratch:
            fresh = Path(scratch) / distribution
            for path, text in _files(flavour, words):
                (fresh / path).parent.mkdir(parents=True, exist_ok=True)
                (fresh / path).write_text(text, "utf-8")
            fresh.rename(target)  # over an empty directory, but over nothing else
    except OSError as error:
        raise ScaffoldError(f"{target} cannot be written: {error.strerror}.") from None
    return target


def _module(distribution: str) -> str:
    """The name of the plugin's one module, which must mean nothing else where labplane runs."""
    try:
        module = canonicalize_name(distribution, validate=True).replace("-", "_")
    except InvalidName:
        raise ScaffoldError(
            f"{distribution!r} is no name for a distribution: it needs letters, digits, '-', '_' and '.', "
            "and a letter or digit at both ends, as in labplane-thing."
        ) from None
    if not module.isidentifier() or keyword.iskeyword(module):
        raise ScaffoldError(f"A Python module cannot be called {module!r}; try {PREFIX}{distribution}.")
    if module in sys.stdlib_module_names or importlib.util.find_spec(module) is not None:
        raise ScaffoldError(
            f"There is a Python module {module!r} already, which this one would hide; choose another name."
        )
    return module


def _name(distribution: str, flavour: Flavour, kind: str | None) -> str:
    """The plugin's name, which is also its kind of VM if it brings one."""
    if kind is not None and not flavour.has_kind:
        raise ScaffoldError("A plugin that only brings routes has no kind of VM; leave out --kind or --routes.")
    name = kind if kind is not None else canonicalize_name(distribution).removeprefix(PREFIX).replace("-", "_")
    if not KIND.match(name) or len(name) > LONGEST_KIND:
        raise ScaffoldError(
            f"{name!r} cannot stand in URLs as a kind of VM or a name: it must be a lower-case word of at most "
            f"{LONGEST_KIND} letters, digits and '_' that begins with a letter; "
            + (ANOTHER if flavour.has_kind else "choose another name.")
        )
    return name


def _check_free(name: str, flavour: Flavour, lab: "Kernel") -> None:
    for report in lab.plugins.reports:
        if name == report.name or name in report.kinds:
            what = f"The kind {name!r}" if flavour.has_kind else f"The name {name!r}"
            raise ScaffoldError(
                f"{what} is taken by the plugin {report.name} of {report.source}; "
                + (ANOTHER if flavour.has_kind else "choose another.")
            )
    if not flavour.has_kind and ("GET", f"/v1/{name}") in {route.key for route in lab.routes.routes}:
        raise ScaffoldError(f"The route GET /v1/{name} exists already; choose another name.")


def versions_from(version: str) -> str:
    """Of labplane's versions: from this one on, within its major version."""
    major, minor, *_ = (*Version(version).release, 0)
    return f">={major}.{minor},<{major + 1}" if minor else f">={major},<{major + 1}"


def _origin() -> Mapping[str, str]:
    """From where pip gets labplane, as a word for a shell, and a sentence about it."""
    try:
        record = json.loads(Distribution.from_name("labplane").read_text("direct_url.json") or "{}")
    except (PackageNotFoundError, ValueError):
        record = {}
    url, vcs = str(record.get("url", "")), record.get("vcs_info", {})
    if vcs:
        found = f"{vcs.get('vcs')}+{url}@{vcs.get('commit_id')}"
    elif url.startswith("https://"):
        found = url
    else:
        found = ""
    if found:
        return {
            "labplane": f"'labplane[testing] @ {found}'",
            "origin": f"Here labplane came from {url}, not from an index.",
        }
    return {
        "labplane": "'labplane[testing]'",
        "origin": "Where no index has labplane, put in place of `labplane[testing]` what pip finds it by, here and in\n"
        "the workflow: a directory, a wheel, or `labplane[testing] @ git+https://…`.",
    }


def _files(flavour: Flavour, words: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The path and the text of each file."""
    templates = resources.files("labplane.cli") / "templates"
    for path, template in {
        "pyproject.toml": "common/pyproject.toml.txt",
        "README.md": "common/README.md.txt",
        ".gitignore": "common/gitignore.txt",
        ".github/workflows/test.yml": "common/workflow.yml.txt",
        f"{words['module']}.py": f"{flavour.folder}/module.py.txt",
        f"tests/test_{words['name']}.py": f"{flavour.folder}/test.py.txt",
    }.items():
        yield path, Template((templates / template).read_text("utf-8")).substitute(words)
