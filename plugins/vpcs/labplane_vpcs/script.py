"""The startup script of a VPCS: a file in its directory (M-7, M-8, M-11)."""

import codecs
import errno
import os
import re
import stat
from pathlib import Path

from labplane import Conflict, TooLarge

NAME = "startup.vpc"


def exists(directory: Path) -> bool:
    """True when there is a script; one system call, unlike reading it. A link or a directory is none."""
    try:
        return stat.S_ISREG(os.lstat(f"{directory}/{NAME}").st_mode)
    except OSError:
        return False


def read(directory: Path, most: int) -> str | None:
    """The script as it is now, without a byte order mark, undecodable bytes replaced.

    None when there is none, or when it is longer than `most` bytes.
    """
    content = _content(directory, most)
    return None if content is None or len(content) > most else _decoded(content)


def make_ready(directory: Path, most: int) -> str | None:
    """The script that VPCS is about to run, None when there is none; a byte order mark is taken out of its file.

    Raises Conflict when it is longer than `most` bytes, or not in UTF-8 but in UTF-16.
    """
    content = _content(directory, most)
    if content is None:
        return None
    _require_short(content, most)
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise Conflict(f"The startup script {NAME} is UTF-16, which VPCS cannot read; write it in UTF-8.")
    if content.startswith(codecs.BOM_UTF8):
        _replace(directory, content.removeprefix(codecs.BOM_UTF8))
    return _decoded(content)


def write(directory: Path, script: str | None, name: str, most: int) -> None:
    """Make `script` the script of the VM called `name`, which replaces every ``%h``; None removes it.

    Raises TooLarge, with nothing changed, when the result is longer than `most` bytes.
    """
    if script is None:
        _refuse_directory(directory)
        (directory / NAME).unlink(missing_ok=True)
        return
    script = script.removeprefix("\ufeff")  # VPCS would take it for the first letter of a command
    content = script.encode("utf-8")
    size = len(content) + script.count("%h") * (len(name.encode("utf-8")) - len("%h"))
    if size > most:
        raise TooLarge(
            f"The startup script has {size} bytes with the name for each %h; at most {most} are taken, which "
            "script_max_bytes in [plugins.vpcs] says."
        )
    _refuse_directory(directory)
    _replace(directory, content.replace(b"%h", name.encode("utf-8")))


def rename(directory: Path, old: str, new: str, most: int) -> None:
    """Write `new` for each `old` in the script, if there is one; whole words only (B-18).

    Raises Conflict, with nothing changed, when the script is longer than `most` bytes, before or after that.
    """
    content = _content(directory, most)
    if content is None:
        return
    _require_short(content, most)
    edge = r"\w.\-/:"
    word = re.compile(f"(?<![{edge}]){re.escape(old)}(?![{edge}])")
    text = content.decode("utf-8", "surrogateescape")
    longer = len(new.encode("utf-8")) - len(old.encode("utf-8"))
    if longer > 0 and len(content) + longer * sum(1 for _ in word.finditer(text)) > most:
        raise Conflict(f"With the new name the startup script would be longer than {most} bytes; choose a shorter one.")
    _replace(directory, word.sub(lambda _: new, text).encode("utf-8", "surrogateescape"))


def _content(directory: Path, most: int) -> bytes | None:
    """The script, cut off one byte after `most`.

    None when there is none, or a link: the emulator may write in its directory, and read nothing elsewhere. A pipe must
    not keep the reader waiting.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        with open(os.open(directory / NAME, flags), "rb") as file:
            return file.read(most + 1) if stat.S_ISREG(os.fstat(file.fileno()).st_mode) else None
    except (FileNotFoundError, IsADirectoryError):
        return None
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            return None
        raise


def _decoded(content: bytes) -> str:
    return content.removeprefix(codecs.BOM_UTF8).decode("utf-8", "replace")


def _require_short(content: bytes, most: int) -> None:
    if len(content) > most:
        raise Conflict(f"The startup script {NAME} is longer than {most} bytes; shorten or remove it.")


def _refuse_directory(directory: Path) -> None:
    place = directory / NAME
    if place.is_dir() and not place.is_symlink():
        raise Conflict(f"There is a directory {NAME} where the startup script belongs; remove it.")


def _replace(directory: Path, content: bytes) -> None:
    draft = directory / f".labplane-{NAME}"
    try:
        draft.unlink(missing_ok=True)
        with draft.open("xb") as file:
            file.write(content)
        draft.replace(directory / NAME)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
