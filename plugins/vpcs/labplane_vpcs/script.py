"""The startup script of a VPCS: a file in its directory (M-7, M-8, M-11)."""

import errno
import os
import re
from pathlib import Path

NAME = "startup.vpc"


def exists(directory: Path) -> bool:
    """True when there is a script; one system call, unlike reading it."""
    return os.path.lexists(f"{directory}/{NAME}")


def read(directory: Path) -> str | None:
    """The script as it is now, undecodable bytes replaced; None when there is none."""
    content = _content(directory)
    return None if content is None else content.decode("utf-8", "replace")


def write(directory: Path, script: str | None, name: str) -> None:
    """Make `script` the script of the VM called `name`, which replaces every ``%h``; None removes it."""
    if script is None:
        (directory / NAME).unlink(missing_ok=True)
    else:
        _replace(directory, script.replace("%h", name).encode("utf-8"))


def rename(directory: Path, old: str, new: str) -> None:
    """Write `new` for each `old` in the script, if there is one; whole words only (B-18)."""
    script = _content(directory)
    if script is None:
        return
    edge = r"\w.\-/:"
    word = re.compile(f"(?<![{edge}]){re.escape(old)}(?![{edge}])")
    text = script.decode("utf-8", "surrogateescape")
    _replace(directory, word.sub(lambda _: new, text).encode("utf-8", "surrogateescape"))


def _content(directory: Path) -> bytes | None:
    """None when there is no script, or a link: the emulator may write in its directory, and read nothing elsewhere."""
    try:
        with open(os.open(directory / NAME, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:
            return None
        raise


def _replace(directory: Path, content: bytes) -> None:
    draft = directory / f".{NAME}.new"
    try:
        draft.unlink(missing_ok=True)
        with draft.open("xb") as file:
            file.write(content)
        draft.replace(directory / NAME)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
