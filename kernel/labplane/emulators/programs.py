"""Program files: finding one by name, and the files that it takes to run it: interpreters, loaders and libraries."""

import os
import shutil
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from labplane.emulators import elf
from labplane.errors import Unavailable

DEPTH = 5  # of scripts whose interpreter is a script; Linux itself gives up there
MOST_LIBRARIES = 256
MOST_PROGRAMS = 256
ENVIRONMENT = "pyvenv.cfg"  # marks a virtual environment of Python


def find_program(name: str, advice: str) -> Path:
    """The executable file called `name`: a path, or a name looked up on the PATH.

    Links are followed, except out of a virtual environment of Python, whose packages are found by the link.

    advice: ends the message when the program is missing, and says what to do. Raises Unavailable.
    """
    found = shutil.which(name)
    if found is None:
        exists = os.sep in name and Path(name).exists()
        state = "is not executable" if exists else "was not found" if os.sep in name else "is not on the server's PATH"
        raise Unavailable(f"The program {name!r} {state}. {advice}")
    path = Path(found).absolute()
    return path if (path.parent.parent / ENVIRONMENT).is_file() else path.resolve()


def closure(program: Path) -> list[Path]:
    """The files that are executed to run `program`: itself, its ELF loader, or a script's interpreter with that one's.

    A link is there beside the file to which it leads. Of a directory it is that, and the closure of each program in it.
    """
    if not program.is_dir():
        return list(dict.fromkeys(_chain(program, DEPTH)))
    programs = (path for path in sorted(program.iterdir()) if path.is_file() and os.access(path, os.X_OK))
    inner = (file for path in islice(programs, MOST_PROGRAMS) for file in _chain(path, DEPTH))
    return [program, *dict.fromkeys(file for file in inner if not file.is_relative_to(program))]


def support(executed: Iterable[Path]) -> list[Path]:
    """What the files of a `closure` read besides: the directories where they are at home, and libraries elsewhere."""
    found: dict[Path, None] = {}
    files = [file for file in executed if not file.is_dir()]
    for folder in dict.fromkeys(os.path.realpath(file.parent) for file in files):
        found |= dict.fromkeys(_homes(Path(folder)))
        if (base := _base(f"{folder}/../{ENVIRONMENT}")) is not None:
            found |= dict.fromkeys(_homes(base))
    for file in files:
        found |= dict.fromkeys(_libraries(file))
    return list(found)


def _chain(program: Path, depth: int) -> Iterator[Path]:
    yield program
    file = Path(os.path.realpath(program))
    yield file
    if (found := elf.read(file)) is not None:
        if found.loader is not None:
            yield found.loader
        return
    with file.open("rb") as script:
        head = script.read(256)
    if head[:2] == b"#!" and depth:
        words = os.fsdecode(head[2:].split(b"\n", 1)[0]).split()
        names = words[:1]
        if words and Path(words[0]).name == "env":
            names += [word for word in words[1:] if not word.startswith("-") and "=" not in word][:1]
        for name in names:
            if (path := shutil.which(name)) is not None:
                yield from _chain(Path(path).absolute(), depth - 1)


def _homes(folder: Path) -> Iterator[Path]:
    """The directories that hold what belongs to the programs in `folder`: the one above ``bin``, else itself.

    Of one that holds much else, such as ``/`` above ``/bin`` or a user's home directory, only the libraries.
    """
    if folder.name not in ("bin", "sbin"):
        if not _is_shared(folder):
            yield folder
    elif _is_shared(folder.parent):
        yield from (folder.parent / "lib", folder.parent / "lib64")
    else:
        yield folder.parent


def _is_shared(prefix: Path) -> bool:
    """Whether more than programs lives in `prefix`: it is the root, or a home directory or the ``.local`` of one."""
    top = prefix.parent if prefix.name == ".local" else prefix
    own = Path(os.environ.get("HOME", "/root"))
    return top in (top.parent, own, Path("/root"), Path("/home")) or top.parent == Path("/home")


def _base(environment: str) -> Path | None:
    """The ``bin`` directory of the Python from which a virtual environment was made, as that says."""
    try:
        with open(environment, encoding="utf-8", errors="replace") as file:
            lines = file.read().splitlines()
    except OSError:
        return None
    values = (line.partition("=") for line in lines)
    found = next((value.strip() for key, _, value in values if key.strip().lower() == "home"), "")
    return Path(found).resolve() if found.startswith("/") else None


def _libraries(program: Path) -> Iterator[Path]:
    """The shared libraries that `program`, and these in turn, look for in directories of their own choice."""
    waiting, seen = [program], {program}
    inherited: list[Path] = []
    while waiting and len(seen) <= MOST_LIBRARIES:
        found = elf.read(waiting.pop())
        if found is None or not (inherited or found.search):
            continue  # as most: the system finds all that it needs
        inherited += [folder for folder in found.search if folder not in inherited]
        for name in found.needed:
            paths = (folder / name for folder in inherited)
            path = next((path.resolve() for path in paths if path.is_file()), None)
            if path is not None and path not in seen:
                seen.add(path)
                waiting.append(path)
                yield path
