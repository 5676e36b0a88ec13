"""The archive of a project, made while it is sent, so that neither memory nor disk ever holds all of it (F-7, F-8)."""

import os
import re
import stat
import time
import zipfile
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import IO

from labplane import LabError, NotFound
from labplane_files.description import DESCRIPTION
from labplane_files.download import PIECE
from labplane_files.omissions import Omissions
from labplane_files.paths import NoFile, files_below, open_file, readable

LEFT_OUT = re.compile(r"(.*/)?([^/]*(\.log|\.log\.1|_log\.txt)|\.DS_Store)|project-files/(snapshots|captures)/.*")


class _Sink:
    """The file object that zipfile writes to. It cannot seek, so zipfile puts each member's size after its content."""

    def __init__(self) -> None:
        self._held = bytearray()

    def write(self, data: bytes, /) -> int:
        self._held += data
        return len(data)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass

    def taken(self) -> bytes:
        """The bytes that were written since the last call."""
        data = bytes(self._held)
        self._held.clear()
        return data


def zipped(root: Path, description: bytes, names: Mapping[str, str], omissions: Omissions) -> Generator[bytes]:
    """The archive, piece by piece: the description of the lab, then the project's files.

    A file that grows meanwhile is cut off at the size that it had when it was opened.

    names:     under which files travel, by path; the others travel under their own.
    omissions: is told what is left out, which the comment of the archive says too.
    """
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(_member(DESCRIPTION, 0o644, time.time()), description)
        for path in files_below(root, omissions.add):
            if path == DESCRIPTION or LEFT_OUT.fullmatch(path):
                continue
            yield sink.taken()
            yield from _added(archive, sink, root, path, names.get(path, path), omissions)
        archive.comment = omissions.text.encode()
    yield sink.taken()


def _added(
    archive: zipfile.ZipFile, sink: _Sink, root: Path, path: str, name: str, omissions: Omissions
) -> Iterator[bytes]:
    file = opened(root, path, omissions)
    if file is None:
        return
    with file:
        found = os.fstat(file.fileno())
        member = _member(name, found.st_mode, found.st_mtime)
        left = member.file_size = found.st_size
        with archive.open(member, "w") as copy:
            while left and (data := file.read(min(left, PIECE))):
                copy.write(data)
                left -= len(data)
                yield sink.taken()


def opened(root: Path, path: str, omissions: Omissions) -> IO[bytes] | None:
    """The file at `path`; None for a file that cannot be opened, of which `omissions` is told, or that is none."""
    try:
        return open_file(root, path)
    except (NoFile, NotFound):  # NotFound: it was deleted meanwhile
        return None
    except LabError as error:
        omissions.add(str(error))
    except OSError as error:
        omissions.add(f"{readable(path)} cannot be read: {error.strerror}.")
    return None


def _member(name: str, mode: int, modified: float) -> zipfile.ZipInfo:
    year, *rest = time.localtime(modified)[:6]
    date = (year, *rest) if 1980 <= year <= 2107 else (1980, 1, 1, 0, 0, 0)
    member = zipfile.ZipInfo(name, date)  # type: ignore[arg-type]
    member.compress_type = zipfile.ZIP_DEFLATED
    member.external_attr = (stat.S_IFREG | stat.S_IMODE(mode)) << 16
    return member
