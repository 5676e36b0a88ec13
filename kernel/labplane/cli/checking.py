"""``labplane check-plugin``: what an author wants to know before a plugin is published, in one report."""

import asyncio
import importlib.util
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

if TYPE_CHECKING:
    from labplane.kernel import Kernel
    from labplane.reports import Report

GROUP = "labplane.v1"
KEYWORD = "labplane"
NEXT_MAJOR = "2"
SECONDS = 1800


@dataclass(frozen=True)
class Finding:
    """One line of the report; wrong: whether the plugin should not be published like that."""

    about: str
    sentence: str
    wrong: bool = False


def check(folder: Path, lab: Callable[[], "Kernel"]) -> Iterator[Finding]:
    """Each finding about the distribution in `folder`, as soon as it is known.

    lab: makes a lab of all that is installed here.
    """
    try:
        about = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))
    except (OSError, ValueError) as error:
        yield Finding("metadata", f"{folder / 'pyproject.toml'} cannot be read: {error}", wrong=True)
        return
    project: Mapping[str, Any] = about.get("project", {})
    name = str(project.get("name", ""))
    yield from _metadata(project)
    yield from _build(folder, project)
    yield from _loaded(canonicalize_name(name), lab)
    yield from _tests(folder)


def _metadata(project: Mapping[str, Any]) -> Iterator[Finding]:
    entries = project.get("entry-points", {}).get(GROUP, {})
    if not entries:
        yield Finding("metadata", f'it lacks an entry point in [project.entry-points."{GROUP}"]: nobody finds it', True)
    needed = _labplane_of(project.get("dependencies", ()))
    if needed is None:
        yield Finding("metadata", "its dependencies lack labplane; ask for labplane>=1,<2", True)
    elif needed.specifier.contains(NEXT_MAJOR):
        yield Finding("metadata", f"{needed} takes labplane {NEXT_MAJOR} too; end it with <{NEXT_MAJOR}", True)
    for key in ("description", "readme", "license", "requires-python"):
        if key not in project:
            yield Finding("metadata", f"[project] lacks {key}, which an index shows to who looks for it")
    if KEYWORD not in project.get("keywords", ()):
        yield Finding("metadata", f'[project] lacks keywords = ["{KEYWORD}"], by which plugins are found')
    if entries:
        yield Finding("metadata", f"entry points: {', '.join(f'{key} = {value}' for key, value in entries.items())}")


def _labplane_of(dependencies: Any) -> Requirement | None:
    for text in dependencies:
        try:
            found = Requirement(text)
        except InvalidRequirement:
            continue
        if canonicalize_name(found.name) == "labplane":
            return found
    return None


def _build(folder: Path, project: Mapping[str, Any]) -> Iterator[Finding]:
    """Build a wheel without anything that lies about here, and look what is in it."""
    with tempfile.TemporaryDirectory(prefix="labplane-check-") as place:
        command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--disable-pip-version-check", "-q", "-w", place]
        done = _run([*command, "--no-build-isolation"] if _has_backend(folder) else command, str(folder))
        wheels = list(Path(place).glob("*.whl"))
        if done.returncode or not wheels:
            yield Finding("build", f"pip cannot build a wheel of it: {_last(done)}", wrong=True)
            return
        with zipfile.ZipFile(wheels[0]) as wheel:
            names = wheel.namelist()
    tops = sorted({one.split("/")[0].removesuffix(".py") for one in names if ".dist-info/" not in one})
    yield Finding("build", f"{wheels[0].name} brings {', '.join(tops) or 'nothing'}")
    for target in project.get("entry-points", {}).get(GROUP, {}).values():
        module = str(target).partition(":")[0].split(".")[0]
        if module not in tops:
            yield Finding("build", f"the wheel lacks the module {module!r}, which the entry point names", wrong=True)
    for stray in ("tests", "test", "docs", "examples"):
        if stray in tops:
            yield Finding("build", f"the wheel installs {stray!r} at the top, a name that is everybody's", True)


def _has_backend(folder: Path) -> bool:
    """Whether all that builds it is installed here, so that nothing has to be fetched."""
    system = tomllib.loads((folder / "pyproject.toml").read_text("utf-8")).get("build-system", {})
    backend = str(system.get("build-backend", "setuptools.build_meta")).partition(":")[0]
    try:
        return importlib.util.find_spec(backend) is not None
    except ModuleNotFoundError:
        return False


def _loaded(name: str, lab: Callable[[], "Kernel"]) -> Iterator[Finding]:
    """What a lab makes of it, beside all else that is installed here."""
    made = lab()
    reports: list[Report] = [one for one in made.plugins.reports if canonicalize_name(one.distribution) == name]
    if not reports:
        yield Finding("plugin", "it was not loaded, for it is not installed here; pip install -e '.[test]'", True)
        return
    for report in reports:
        if report.state != "active":
            yield Finding("plugin", f"{report.name} is {report.state}: {report.error or 'see labplane plugins'}", True)
        for warning in report.warnings:
            yield Finding("plugin", f"{report.name}: {warning}")
        if report.unconfined:
            yield Finding("plugin", f"not confined: the programs of {', '.join(report.unconfined)}")
        for kind in report.kinds:
            lacks = asyncio.run(made.lacks(kind))
            yield Finding("plugin", f"{kind} VMs can {'run here' if lacks is None else f'not run here: {lacks}'}")
    document = made.document()
    try:
        from openapi_spec_validator import validate  # which brings more than an author's tests need
    except ImportError:
        yield Finding(
            "OpenAPI", f"{len(document['paths'])} paths; not checked: openapi-spec-validator is not installed"
        )
        return
    try:
        validate(document)
    except Exception as error:
        yield Finding("OpenAPI", f"the document with it is not valid: {str(error)[:500]}", wrong=True)
    else:
        yield Finding("OpenAPI", f"the document with it is valid, {len(document['paths'])} paths")


def _tests(folder: Path) -> Iterator[Finding]:
    """Its own tests, of which the kit should be one."""
    files = [path for path in folder.rglob("test*.py") if not any(part.startswith(".") for part in path.parts)]
    if not any("DriverTests" in path.read_text("utf-8", "replace") for path in files):
        yield Finding("tests", "no test derives from labplane.testing.DriverTests; for a plugin with VMs write one")
    done = _run([sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider"], cwd=folder)
    for line in done.stdout.splitlines():
        if line.startswith("SKIPPED") and ("not checked" in line or "not confined" in line or "no effect" in line):
            yield Finding("tests", line.partition(": ")[2])
    yield Finding("tests", _last(done), wrong=done.returncode != 0)


def _run(command: list[str], *more: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*command, *more], cwd=cwd, capture_output=True, text=True, check=False, timeout=SECONDS)


def _last(done: subprocess.CompletedProcess[str]) -> str:
    lines = [line for line in (done.stdout + "\n" + done.stderr).splitlines() if line.strip()]
    return lines[-1].strip(" =") if lines else f"it ended with status {done.returncode} and said nothing"
