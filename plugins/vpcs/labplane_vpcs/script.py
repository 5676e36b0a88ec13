"""The startup script of a VPCS: a file in its directory (M-7, M-8, M-11)."""

import os
import re
from pathlib import Path

NAME = "startup.vpc"


def exists(directory: Path) -> bool:
    """True when there is a script; one system call, unlike reading it."""
    return os.path.lexists(f"{directory}/{NAME}")


def read(directory: Path) -> str | None:
    """The script as it is now, undecodable bytes replaced; None when there is none."""
    try:
        return (directory / NAME).read_bytes().decode("utf-8", "replace")
    except FileNotFoundError:
        return None


def write(directory: Path, script: str | None, name: str) -> None:
    """Make `script` the script of the VM called `name`, which replaces every ``%h``; None removes it."""
    if script is None:
        (directory / NAME).unlink(missing_ok=True)
    else:
        _replace(directory, script.replace("%h", name).encode("utf-8"))


def rename(directory: Path, old: str, new: str) -> None:
    """Write `new` for each `old` in the script, if there is one; whole words only (B-18)."""
    try:
        script = (directory / NAME).read_bytes()
    except FileNotFoundError:
        return
    edge = r"\w.\-/:"
    word = re.compile(f"(?<![{edge}]){re.escape(old)}(?![{edge}])")
    text = script.decode("utf-8", "surrogateescape")
    _replace(directory, word.sub(lambda _: new, text).encode("utf-8", "surrogateescape"))


def _replace(directory: Path, content: bytes) -> None:
    draft = directory / f".{NAME}.new"
    try:
        draft.write_bytes(content)
        draft.replace(directory / NAME)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
