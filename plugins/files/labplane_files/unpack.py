"""Unpacking an archive from a client; nothing is written before the whole index has been checked (F-10, F-11)."""

import errno
import io
import os
import posixpath
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, NamedTuple

from labplane import BadRequest, Forbidden, TooLarge
from labplane_files.description import DESCRIPTION
from labplane_files.download import PIECE
from labplane_files.paths import contained

ALWAYS_FINE = 16 * 1024 * 1024
INDEX_ENTRY = 512
LARGEST_DESCRIPTION = 16 * 1024 * 1024
UTF8_FLAG = 0x800
UNICODE_PATH = 0x7075

Member = tuple[zipfile.ZipInfo, str]


class Limits(NamedTuple):
    """Limits for an archive: members, unpacked bytes, and unpacked bytes as a multiple of its own size."""

    files: int
    bytes: int
    ratio: int


class Archive:
    """The archive of a lab in `file`. Raises BadRequest when it is none that can be unpacked, TooLarge for too much.

    description: of the lab; None in an archive that labplane did not make.

    makes_lab: whether a file of that name at the top of an archive says that the archive holds a lab.
    """

    def __init__(self, file: IO[bytes], limits: Limits, makes_lab: Callable[[str], bool]) -> None:
        size = file.seek(0, io.SEEK_END)
        with _explained():
            self._archive = zipfile.ZipFile(_Bounded(file, max(limits.files * INDEX_ENTRY, PIECE)))
            members = self._archive.infolist()
            whole = sum(member.file_size for member in members)
            if len(members) > limits.files:
                raise TooLarge(f"The archive holds {len(members)} files; at most {limits.files} are taken.")
            if whole > limits.bytes:
                raise TooLarge(f"The archive unpacks to {whole} bytes; at most {limits.bytes} are taken.")
            if whole > max(limits.ratio * size, ALWAYS_FINE):
                raise TooLarge(f"The archive unpacks to more than {limits.ratio} times its size.")
            self._members = _of_lab(list(_checked(members)), makes_lab)
            self.description = self._read_description()

    def unpack(self, root: Path) -> Iterator[None]:
        """Write the files below `root`, an empty directory; each step of the iterator writes one piece."""
        for member, path in self._members:
            if path == DESCRIPTION:
                continue
            target = root / path
            with _explained(path):
                if member.is_dir():
                    target.mkdir(parents=True, exist_ok=True)
                    continue
                target.parent.mkdir(parents=True, exist_ok=True)
                executable = member.external_attr >> 16 & 0o100
                number = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o777 if executable else 0o666)
                with open(number, "wb") as copy, self._archive.open(member) as data:
                    while piece := data.read(PIECE):
                        copy.write(piece)
                        yield

    def _read_description(self) -> bytes | None:
        for member, path in self._members:
            if path == DESCRIPTION and not member.is_dir():
                if member.file_size > LARGEST_DESCRIPTION:
                    raise TooLarge(f"{DESCRIPTION} is larger than {LARGEST_DESCRIPTION} bytes.")
                return self._archive.read(member)
        return None


class _Bounded:
    """The part of a file object that zipfile reads. It bounds each read, since zipfile reads a whole index at once."""

    def __init__(self, file: IO[bytes], most: int) -> None:
        self._most = most
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable
        self._read = file.read

    def read(self, size: int = -1) -> bytes:
        if size > self._most:
            raise TooLarge("The archive's index is too large for the number of files that are taken.")
        return self._read(size if size >= 0 else self._most)


def _checked(members: list[zipfile.ZipInfo]) -> Iterator[Member]:
    """Each member that shall be unpacked and its path. Hidden ones at the top are left out, bad ones refused."""
    for member in members:
        name = _name(member)
        top = posixpath.normpath(name).split("/")[0]
        if _is_noise(top) and not top.startswith(".."):
            continue
        try:
            path = contained(name)
        except Forbidden as error:
            raise BadRequest(f"The archive cannot be unpacked: {error}") from None
        kind = stat.S_IFMT(member.external_attr >> 16)
        if re.match("[a-zA-Z]:", name):
            raise BadRequest(f"The archive cannot be unpacked: {name[:200]!r} names a drive.")
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise BadRequest(f"The archive cannot be unpacked: {name[:200]!r} is neither a file nor a directory.")
        if member.flag_bits & 1:
            raise BadRequest(f"The archive cannot be unpacked: {name[:200]!r} is encrypted.")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise BadRequest(f"The archive cannot be unpacked: {name[:200]!r} is compressed otherwise than by deflate.")
        yield member, path


def _is_noise(top: str) -> bool:
    """Whether a name at the top of an archive is hidden, or what the archiver of macOS puts beside each archive."""
    return top.startswith(".") or top == "__MACOSX"


def _of_lab(members: list[Member], makes_lab: Callable[[str], bool]) -> list[Member]:
    """The members with their paths in the project: without the folder, or folders, in which the whole lab was packed.

    Raises BadRequest when there is no lab.
    """
    inner = members
    while not any(_says_lab(member, path, makes_lab) for member, path in inner):
        if len({path.partition("/")[0] for _, path in inner}) != 1:
            raise BadRequest(_without_lab(members, makes_lab))
        below = ((member, path.partition("/")[2]) for member, path in inner)
        inner = [(member, path) for member, path in below if path and not _is_noise(path.split("/")[0])]
    return inner


def _says_lab(member: zipfile.ZipInfo, path: str, makes_lab: Callable[[str], bool]) -> bool:
    return "/" not in path and not member.is_dir() and (path == DESCRIPTION or makes_lab(path))


def _without_lab(members: Iterable[Member], makes_lab: Callable[[str], bool]) -> str:
    """Why an archive is refused in which no lab was found, with what it has, other labs first."""
    labs = [path for member, path in members if _says_lab(member, posixpath.basename(path), makes_lab)]
    rest = [path + "/" * member.is_dir() for member, path in members if path not in labs]
    shown = [repr(path[:200]) for path in (labs + rest)[:5]]
    more = len(labs) + len(rest) - len(shown)
    has = ", ".join(shown) + (f" and {more} more" if more else "") if shown else "nothing that can be imported"
    wanted = f"neither {DESCRIPTION} nor a topology file is at its top or in its only folder"
    return f"The archive holds no lab: {wanted}. It has {has}."


def _name(member: zipfile.ZipInfo) -> str:
    """The member's name. A flag says that it is UTF-8; many programs write UTF-8 without the flag, or beside it."""
    if member.flag_bits & UTF8_FLAG:
        return member.orig_filename
    raw = member.orig_filename.encode("cp437")  # as which zipfile has decoded it
    with suppress(UnicodeDecodeError):
        return raw.decode("utf-8")
    return _unicode_path(member.extra, raw) or member.orig_filename


def _unicode_path(extra: bytes, raw: bytes) -> str | None:
    """The name in the extra field of Info-ZIP for names in UTF-8 (APPNOTE.TXT 4.6.9), if it is that of `raw`."""
    at = 0
    while at + 4 <= len(extra):
        tag, size = struct.unpack_from("<HH", extra, at)
        field = extra[at + 4 : at + 4 + size]
        if tag == UNICODE_PATH and len(field) > 5 and struct.unpack_from("<I", field, 1)[0] == zlib.crc32(raw):
            with suppress(UnicodeDecodeError):
                return field[5:].decode("utf-8")
        at += 4 + size
    return None


@contextmanager
def _explained(path: str = "") -> Iterator[None]:
    """Turn the errors that zipfile and the disk raise for a damaged archive into BadRequest."""
    try:
        yield
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        raise BadRequest(f"The archive cannot be unpacked: {path[:200]!r} is in it twice.") from None
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        raise BadRequest(f"The archive cannot be unpacked: the name {path[:200]!r} is too long.") from None
    except (
        zipfile.BadZipFile,
        zlib.error,
        struct.error,
        EOFError,
        NotImplementedError,
        OverflowError,
        RuntimeError,
        ValueError,
    ) as error:
        raise BadRequest(f"The body is no zip archive, or a damaged one: {error}.") from None
