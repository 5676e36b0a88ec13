"""Program files: finding one by name, and which files the kernel executes to run it."""

import os
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path

from labplane.errors import Unavailable

PT_INTERP = 3
DEPTH = 5  # of scripts whose interpreter is a script; Linux itself gives up there


def find_program(name: str, advice: str) -> Path:
    """The executable file called `name`: a path, or a name looked up on the PATH.

    advice: what to do when it is missing, ends the message. Raises Unavailable.
    """
    found = shutil.which(name)
    if found is None:
        exists = os.sep in name and Path(name).exists()
        state = "is not executable" if exists else "was not found" if os.sep in name else "is not on the server's PATH"
        raise Unavailable(f"The program {name!r} {state}. {advice}")
    return Path(found).resolve()


def closure(program: Path) -> list[Path]:
    """`program` and what is executed to run it: its ELF loader, or a script's interpreter with that one's."""
    return list(dict.fromkeys(_chain(program, DEPTH)))


def home(program: Path) -> Path:
    """The directory that holds what belongs to `program`: the one above ``bin``, else its own."""
    folder = program.parent
    return folder.parent if folder.name in ("bin", "sbin") else folder


def _chain(program: Path, depth: int) -> Iterator[Path]:
    yield program
    with program.open("rb") as file:
        head = file.read(256)
    if head[:4] == b"\x7fELF":
        loader = _elf_loader(program)
        if loader is not None:
            yield loader
    elif head[:2] == b"#!" and depth:
        words = os.fsdecode(head[2:].split(b"\n", 1)[0]).split()
        names = words[:1]
        if words and Path(words[0]).name == "env":
            names += [word for word in words[1:] if not word.startswith("-") and "=" not in word][:1]
        for name in names:
            if (found := shutil.which(name)) is not None:
                yield from _chain(Path(found).resolve(), depth - 1)


def _elf_loader(program: Path) -> Path | None:
    with program.open("rb") as file:
        head = file.read(64)
        wide = head[4] == 2
        order = "<" if head[5] == 1 else ">"
        table = struct.unpack_from(order + ("Q" if wide else "I"), head, 32 if wide else 28)[0]
        size, count = struct.unpack_from(order + "HH", head, 54 if wide else 42)
        for index in range(count):
            file.seek(table + index * size)
            entry = file.read(size)
            if struct.unpack_from(order + "I", entry)[0] == PT_INTERP:
                offset, length = (
                    (struct.unpack_from(order + "Q", entry, 8)[0], struct.unpack_from(order + "Q", entry, 32)[0])
                    if wide
                    else (struct.unpack_from(order + "I", entry, 4)[0], struct.unpack_from(order + "I", entry, 16)[0])
                )
                file.seek(offset)
                return Path(os.fsdecode(file.read(length).rstrip(b"\0")))
    return None
