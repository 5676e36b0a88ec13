"""The walls between the rooms: who may import whom, how large a room may be. Read from the syntax trees."""

import ast
import inspect
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

import labplane
from labplane import hookspecs
from labplane.plugins import installed

TREE = Path(__file__).parent.parent
KERNEL = {path.stem: path for path in sorted((TREE / "kernel" / "labplane").glob("*.py"))}
KIT = {path.stem: path for path in sorted((TREE / "kernel" / "labplane" / "testing").glob("*.py"))}
PLUGINS = sorted([*TREE.glob("plugins/*/*/**/*.py"), *TREE.glob("drivers/*/labplane_*/**/*.py")])
GROUND_FLOOR = {
    "replies": set[str](),
    "shortcut": set[str](),
    "schemas": {"shortcut"},
    "confinement": set[str](),
    "posix_spawn": set[str](),
    "ownership": set[str](),
    "programs": {"errors"},
    "spawners": {"confinement", "ownership", "posix_spawn", "programs"},
    "logfile": set[str](),
    "errors": {"replies"},
    "ports": {"errors"},
    "rhost": {"errors"},
    "jsonbody": {"errors"},
    "processes": {"confinement", "ownership", "spawners"},
}
AROUND_THE_KERNEL = {
    *(
        "cli",
        "client",
        "demo",
        "demo_labs",
        "gns3_server",
        "ini",
        "scaffold",
        "__main__",
    ),  # commands, and clients of it
    *("serving", "connections", "listening", "exposure", "auth"),  # how it is served, and to whom
}
FOR_SPEED_ALONE = {"shortcut"}  # without it everything is the same, only slower
MOST_LINES_OF_A_FILE = 350
MOST_LINES_OF_CODE_IN_THE_KERNEL = 3800
MOST_LINES_OF_CODE_IN_THE_CLIENT = 200


def imports(path: Path, *, everywhere: bool = True) -> Iterator[tuple[str, list[str]]]:
    """(module, names) of each import; unless `everywhere`, only of those that run when the module is imported."""
    pending: list[ast.AST] = [ast.parse(path.read_text())]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import):
            yield from ((alias.name, []) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or ""), [alias.name for alias in node.names]
        elif not everywhere and (isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or _only_for_types(node)):
            continue
        pending.extend(ast.iter_child_nodes(node))


def _only_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def rooms(path: Path, *, everywhere: bool) -> set[str]:
    """The kernel's modules that a module of the kernel imports."""
    found: set[str] = set()
    for module, names in imports(path, everywhere=everywhere):
        assert not module.startswith("."), f"{path} imports relatively"
        if module == "labplane":
            found.update(name if name in KERNEL else "__init__" for name in names or [""])
        elif module.startswith("labplane."):
            found.add(module.split(".")[1])
    return found


def shown(path: Path) -> str:
    return str(path.relative_to(TREE))


def test_there_is_something_to_look_at() -> None:
    assert len(KERNEL) > 20
    assert {"labplane_files", "labplane_projects", "labplane_ports", "labplane_vpcs", "labplane_switch"} <= {
        path.parent.name for path in PLUGINS
    }


@pytest.mark.parametrize("path", PLUGINS, ids=shown)
def test_a_plugin_imports_from_labplane_alone(path: Path) -> None:
    """No module of the kernel by path, no name that is not public, no other plugin."""
    others = {plugin.parent.name for plugin in PLUGINS} - {path.parent.name} | {"tests", "bench"}
    for module, names in imports(path):
        top = module.split(".")[0]
        assert top not in others, f"imports {module}"
        if top == "labplane":
            assert module == "labplane", f"imports {module}"
            assert names, "import labplane: name what is used"
            assert set(names) <= set(labplane.__all__), f"{set(names) - set(labplane.__all__)} is not public"


@pytest.mark.parametrize("path", KERNEL.values(), ids=KERNEL)
def test_the_kernel_imports_no_plugin(path: Path) -> None:
    for module, _ in imports(path):
        top = module.split(".")[0]
        assert top == "labplane" or not top.startswith("labplane"), f"imports {module}"


@pytest.mark.parametrize("path", KERNEL.values(), ids=KERNEL)
def test_the_kernel_does_without_the_kit(path: Path) -> None:
    assert "testing" not in rooms(path, everywhere=True)


@pytest.mark.parametrize("path", KIT.values(), ids=KIT)
def test_the_kit_looks_at_drivers_from_outside(path: Path) -> None:
    """Of the kernel it uses what judges a value by a schema; all else it learns over HTTP."""
    allowed = {"__init__"} if path == KIT["unavailable"] else {"testing", "schemas"}  # it is a plugin
    assert rooms(path, everywhere=True) <= allowed


def test_what_pytest_always_loads_imports_nothing_of_labplane() -> None:
    assert [module for module, _ in imports(TREE / "kernel" / "labplane_pytest" / "__init__.py")] == ["pytest"]


@pytest.mark.parametrize("room", GROUND_FLOOR)
def test_the_ground_floor_imports_nothing_from_above(room: str) -> None:
    assert rooms(KERNEL[room], everywhere=True) == GROUND_FLOOR[room]


def test_imports_within_the_kernel_run_one_way() -> None:
    """No room imports itself, over whatever detour, when it is imported."""
    above: dict[str, set[str]] = {room: rooms(path, everywhere=False) for room, path in KERNEL.items()}
    while free := [room for room, below in above.items() if not below & above.keys()]:
        for room in free:
            del above[room]
    assert not above, f"import each other: {above}"


def test_no_room_below_the_face_imports_through_it() -> None:
    """`from labplane import X` is for plugins; in the kernel it would be a cycle."""
    assert [room for room, path in KERNEL.items() if "__init__" in rooms(path, everywhere=True)] == []


def test_everything_public_exists_and_is_sorted() -> None:
    assert all(hasattr(labplane, name) for name in labplane.__all__)
    assert len(set(labplane.__all__)) == len(labplane.__all__)


def implemented() -> set[str]:
    """The hooks that labplane's own plugins implement."""
    classes = [candidate.load() for candidate in installed() if candidate.distribution == "labplane"]
    return {name for name in hookspecs.HOOKS for cls in classes if hasattr(getattr(cls, name), "labplane_impl")}


@pytest.mark.parametrize("name", hookspecs.HOOKS)
def test_every_hook_is_used_in_tree(name: str) -> None:
    assert name in implemented()


@pytest.mark.parametrize("name", hookspecs.HOOKS)
def test_every_hook_is_documented_with_its_exact_arguments(name: str) -> None:
    wanted = list(inspect.signature(getattr(hookspecs.Hooks, name)).parameters)
    text = (TREE / "docs" / "hooks.md").read_text()
    documented = [
        [argument.split(":")[0].strip() for argument in arguments.split(",") if argument.strip()]
        for arguments in re.findall(rf"\b{name}\(([^)]*)\)", text)
    ]
    assert wanted in documented, f"docs/hooks.md lacks {name}({', '.join(wanted)})"
    wrong = [arguments for arguments in documented if "self" in arguments and arguments != wanted]
    assert not wrong, f"docs/hooks.md says {name}({', '.join(wrong[0])})"


@pytest.mark.parametrize("path", [*KERNEL.values(), *KIT.values(), *PLUGINS], ids=shown)
def test_a_file_stays_small_enough_to_be_read(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MOST_LINES_OF_A_FILE


@pytest.mark.parametrize("path", [*KERNEL.values(), *KIT.values(), *PLUGINS], ids=shown)
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


def test_the_kernel_stays_small() -> None:
    kernel = [path for room, path in KERNEL.items() if room not in AROUND_THE_KERNEL | FOR_SPEED_ALONE]
    assert sum(lines_of_code(path.read_text()) for path in kernel) < MOST_LINES_OF_CODE_IN_THE_KERNEL


def test_the_client_stays_small_and_needs_nothing_of_the_server() -> None:
    assert lines_of_code(KERNEL["client"].read_text()) < MOST_LINES_OF_CODE_IN_THE_CLIENT
    assert rooms(KERNEL["client"], everywhere=True) == set()


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
