"""The walls between the packages: which may import which, how large a file may be, which names are public."""

import ast
import inspect
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

import labplane
import labplane.server
from labplane.plugins import contract
from labplane.plugins.loading import installed

TREE = Path(__file__).parent.parent
SOURCE = TREE / "kernel" / "labplane"
KIT = sorted((SOURCE / "testing").glob("*.py"))
KERNEL = sorted(path for path in SOURCE.rglob("*.py") if path not in KIT)
KEEPER = sorted(TREE.glob("kernel/labplane_keeper/*.py"))
CLIENT = sorted(TREE.glob("client/labplane_client/*.py"))
PLUGINS = sorted([*TREE.glob("plugins/*/*/**/*.py"), *TREE.glob("drivers/*/labplane_*/**/*.py")])
FACES = {"labplane": labplane, "labplane.server": labplane.server}
OUTSIDE_THE_CORE = ("programs", "emulators", "keeper", "consoles", "server", "cli")
FOR_SPEED_ALONE = SOURCE / "validation" / "shortcut.py"  # without it everything is the same, only slower
MOST_LINES_OF_A_FILE = 350
MOST_LINES_OF_CODE_IN_THE_CLIENT = 350
MOST_LINES_OF_CODE_IN_THE_CORE = 4930


def imports(path: Path) -> Iterator[tuple[str, list[str]]]:
    """(module, names) of each import, wherever it stands."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, []) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or ""), [alias.name for alias in node.names]


def package_of(plugin: Path) -> str:
    """The package in which a file of a plugin is."""
    return next(part for part in plugin.relative_to(TREE).parts if part.startswith("labplane_"))


def shown(path: Path) -> str:
    return str(path.relative_to(TREE))


def test_there_is_something_to_look_at() -> None:
    assert len(KERNEL) > 20
    assert {"labplane_files", "labplane_projects", "labplane_ports", "labplane_vpcs", "labplane_switch"} <= {
        package_of(path) for path in PLUGINS
    }


@pytest.mark.parametrize("path", PLUGINS, ids=shown)
def test_a_plugin_imports_from_labplane_alone(path: Path) -> None:
    """No module of the kernel by path but the face for commands, no name that is not public, no other plugin."""
    others = {package_of(plugin) for plugin in PLUGINS} - {package_of(path)} | {"tests", "bench"}
    for module, names in imports(path):
        top = module.split(".")[0]
        assert top not in others, f"imports {module}"
        if top == "labplane":
            assert module in FACES, f"imports {module}"
            assert names, "import labplane: name what is used"
            public = set(FACES[module].__all__)
            assert set(names) <= public, f"{set(names) - public} is not public"


@pytest.mark.parametrize("path", [*KERNEL, *PLUGINS], ids=shown)
def test_a_route_names_its_arguments_beyond_the_endpoint(path: Path) -> None:
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    routes = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "Route"]
    assert [call.lineno for call in routes if len(call.args) > 3] == []


def test_imports_run_one_way() -> None:
    """The contracts in pyproject.toml hold."""
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    done = subprocess.run(command, cwd=TREE, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", KERNEL, ids=shown)
def test_the_kernel_imports_no_plugin_and_not_through_the_face(path: Path) -> None:
    """`from labplane import X` is for plugins; in the kernel it would be a circle."""
    for module, names in imports(path):
        top = module.split(".")[0]
        assert not top.startswith("labplane") or top in ("labplane", "labplane_client", "labplane_keeper"), (
            f"imports {module}"
        )
        assert module != "labplane" or all((SOURCE / f"{name}.py").exists() for name in names), f"imports {names}"


@pytest.mark.parametrize("path", KIT, ids=shown)
def test_the_kit_looks_at_drivers_from_outside(path: Path) -> None:
    """All that it knows of a driver it learns over HTTP; `unavailable` is a plugin and imports what plugins may."""
    allowed = "labplane" if path.name == "unavailable.py" else "labplane.testing"
    used = {module for module, _ in imports(path) if module.split(".")[0] == "labplane"}
    assert all(module == allowed or module.startswith("labplane.testing.") for module in used), used


def test_what_pytest_always_loads_imports_nothing_of_labplane() -> None:
    assert [module for module, _ in imports(TREE / "kernel" / "labplane_pytest" / "__init__.py")] == ["pytest"]


def test_everything_public_exists_and_is_sorted() -> None:
    assert all(hasattr(labplane, name) for name in labplane.__all__)
    assert len(set(labplane.__all__)) == len(labplane.__all__)


def implemented() -> set[str]:
    """The hooks that labplane's own plugins implement."""
    classes = [candidate.load() for candidate in installed() if candidate.distribution == "labplane"]
    return {name for name in contract.HOOKS for cls in classes if hasattr(getattr(cls, name), "labplane_impl")}


@pytest.mark.parametrize("name", contract.HOOKS)
def test_every_hook_is_used_in_tree(name: str) -> None:
    assert name in implemented()


@pytest.mark.parametrize("name", contract.HOOKS)
def test_every_hook_is_documented_with_its_exact_arguments(name: str) -> None:
    wanted = list(inspect.signature(getattr(contract.Hooks, name)).parameters)
    text = (TREE / "docs" / "hooks.md").read_text()
    documented = [
        [argument.split(":")[0].strip() for argument in arguments.split(",") if argument.strip()]
        for arguments in re.findall(rf"\b{name}\(([^)]*)\)", text)
    ]
    assert wanted in documented, f"docs/hooks.md lacks {name}({', '.join(wanted)})"
    wrong = [arguments for arguments in documented if "self" in arguments and arguments != wanted]
    assert not wrong, f"docs/hooks.md says {name}({', '.join(wrong[0])})"


@pytest.mark.parametrize("path", [*KERNEL, *KEEPER, *KIT, *CLIENT, *PLUGINS], ids=shown)
def test_a_file_stays_small_enough_to_be_read(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MOST_LINES_OF_A_FILE


@pytest.mark.parametrize("path", [*KERNEL, *KEEPER, *KIT, *CLIENT, *PLUGINS], ids=shown)
def test_a_file_says_at_its_top_what_it_is_for(path: Path) -> None:
    docstring = ast.get_docstring(ast.parse(path.read_text()))
    assert docstring
    assert docstring.split("\n\n")[0].endswith(".")


def lines_of_code(text: str) -> int:
    """How many lines hold code: neither blank nor nothing but a comment or a docstring."""
    held: set[int] = set()
    skipped = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in (*skipped, tokenize.ENDMARKER):
            held.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.body:
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and first.end_lineno:
                held.difference_update(range(first.lineno, first.end_lineno + 1))
    return len(held)


def test_lines_of_code_are_neither_blank_nor_comments_nor_docstrings() -> None:
    top = '"""Top.\n\nMore.\n"""\n\n# why\nx = (1,  # why\n\n     2)\n\n'
    assert lines_of_code(top) == 2
    assert lines_of_code(top + 'def f():\n    """Says."""\n    return """a\nb"""\n') == 2 + 1 + 2


def test_the_core_stays_small() -> None:
    """What serves a request or a VM, without emulators, consoles, the server and the commands around it."""
    core = [path for path in KERNEL if path.relative_to(SOURCE).parts[0] not in OUTSIDE_THE_CORE]
    lines = sum(lines_of_code(path.read_text()) for path in core if path != FOR_SPEED_ALONE)
    assert lines < MOST_LINES_OF_CODE_IN_THE_CORE


def test_the_client_stays_small_and_imports_nothing_of_the_server() -> None:
    assert sum(lines_of_code(path.read_text()) for path in CLIENT) < MOST_LINES_OF_CODE_IN_THE_CLIENT
    used = {module.split(".")[0] for path in CLIENT for module, _ in imports(path)}
    assert not [top for top in used if top.startswith("labplane") and top != "labplane_client"]


def test_the_project_stands_alone() -> None:
    """Nothing refers to a place on the machine where it was written."""
    words = re.compile("/" + "work\\b|" + "shared" + "/")
    named = re.compile(r"\.(py|md|toml|cfg|yml|yaml|txt|sh|json)$|/(Makefile|run)$")
    hidden = (".git", "venv", "node_modules", "__pycache__", "build", "dist")
    for path in TREE.rglob("*"):
        inside = path.relative_to(TREE)
        if (
            any(part in hidden or part.startswith(".venv") or part.endswith("_cache") for part in inside.parts)
            or not path.is_file()
        ):
            continue
        if named.search(f"/{inside}"):
            found = words.search(path.read_text(errors="replace"))
            assert not found, f"{inside} mentions {found and found[0]!r}"
