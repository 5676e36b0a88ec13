"""What an ELF file says of how it is loaded: its loader, the libraries that it needs, and directories to find them in.

Facts: man 5 elf, man 8 ld.so.
"""

import functools
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

MAGIC = b"\x7fELF"
PT_LOAD, PT_DYNAMIC, PT_INTERP = 1, 2, 3
DT_NEEDED, DT_STRTAB, DT_RPATH, DT_RUNPATH = 1, 5, 15, 29
LONGEST_TEXT = 4096
LONGEST_TABLE = 256 * 1024


@dataclass(frozen=True)
class Elf:
    """The part of an ELF file that matters for loading it.

    loader: the file that the kernel executes to load it; None when there is none.
    needed: the names of its shared libraries.
    search: absolute directories in which these are looked for before those of the system (RPATH and RUNPATH).
    """

    loader: Path | None = None
    needed: tuple[str, ...] = ()
    search: tuple[Path, ...] = ()


def read(path: Path) -> Elf | None:
    """The ELF file `path`; None when it is no such file, or a damaged one. Raises OSError."""
    status = path.stat()
    return _read(path, (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size))


@functools.lru_cache(maxsize=256)
def _read(path: Path, _identity: tuple[int, ...]) -> Elf | None:
    """As `read`; each file is read once, as long as it does not change."""
    with path.open("rb") as file:
        head = file.read(64)
        if head[:4] != MAGIC:
            return None
        try:
            return _Reader(file, head).elf(path)
        except (struct.error, IndexError, ValueError, OverflowError):
            return None


class _Reader:
    """Reads one file in the word size and byte order that its head names."""

    def __init__(self, file: BinaryIO, head: bytes) -> None:
        self._file = file
        self._wide = head[4] == 2
        self._order = "<" if head[5] == 1 else ">"
        self._word = "Q" if self._wide else "I"
        (table,) = self._unpack(self._word, head, 32 if self._wide else 28)
        size, count = self._unpack("HH", head, 54 if self._wide else 42)
        headers = self._bytes(table, size * count)
        self._segments = [self._segment(headers[at : at + size]) for at in range(0, size * count, size or 1)]

    def elf(self, path: Path) -> Elf:
        loader: Path | None = None
        dynamic = b""
        for kind, offset, _, length in self._segments:
            if kind == PT_INTERP:
                loader = Path(os.fsdecode(self._bytes(offset, min(length, LONGEST_TEXT)).rstrip(b"\0")))
            elif kind == PT_DYNAMIC:
                dynamic = self._bytes(offset, min(length, LONGEST_TABLE))
        entry = struct.Struct(self._order + 2 * self._word)
        entries = list(entry.iter_unpack(dynamic[: len(dynamic) // entry.size * entry.size]))
        texts = next((self._offset(value) for tag, value in entries if tag == DT_STRTAB), None)
        if texts is None:
            return Elf(loader)
        needed = [self._text(texts + value) for tag, value in entries if tag == DT_NEEDED]
        paths = [self._text(texts + value) for tag, value in entries if tag in (DT_RPATH, DT_RUNPATH)]
        origin = str(path.resolve().parent)
        places = [
            place.replace("${ORIGIN}", origin).replace("$ORIGIN", origin) for text in paths for place in text.split(":")
        ]
        return Elf(loader, tuple(needed), tuple(Path(place) for place in places if place.startswith("/")))

    def _segment(self, header: bytes) -> tuple[int, int, int, int]:
        """Its type, offset in the file, address and length."""
        (kind,) = self._unpack("I", header, 0)
        offset, address = self._unpack(2 * self._word, header, 8 if self._wide else 4)
        (length,) = self._unpack(self._word, header, 32 if self._wide else 16)
        return kind, offset, address, length

    def _offset(self, address: int) -> int:
        """The place in the file that is loaded at that address."""
        for kind, offset, begin, length in self._segments:
            if kind == PT_LOAD and begin <= address < begin + length:
                return address - begin + offset
        raise ValueError(f"nothing is loaded at {address:#x}")

    def _text(self, offset: int) -> str:
        return os.fsdecode(self._bytes(offset, LONGEST_TEXT).split(b"\0", 1)[0])

    def _bytes(self, offset: int, length: int) -> bytes:
        self._file.seek(offset)
        return self._file.read(length)

    def _unpack(self, form: str, data: bytes, offset: int) -> tuple[int, ...]:
        return struct.unpack_from(self._order + form, data, offset)
