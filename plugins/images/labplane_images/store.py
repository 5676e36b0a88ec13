"""The files of images on disk: which names there can be, what there is, and a new one in the making."""

import asyncio
import hashlib
import os
import re
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from labplane import Conflict, Forbidden, TooLarge

SUM = ".md5sum"  # beside an image, as GNS3 keeps it
PIECE = 1024 * 1024

_unusable = re.compile(r"[\x00-\x1f\x7f\\\ud800-\udfff]")


def path_below(root: Path, name: str) -> Path:
    """The absolute path of the image called `name`: a path below `root`, or one that leads there.

    Raises Forbidden for one that leads elsewhere, also by a link, that is hidden, or that has control characters.
    """
    refused = Forbidden(f"{name[:200]!r} is refused: an image is a file below {root}, not a hidden one.")
    if not name or len(name) > 1000 or _unusable.search(name) or name.endswith("/"):
        raise refused
    top = Path(os.path.realpath(root))
    found = Path(os.path.realpath(top / name))  # as an absolute `name` it stands for itself
    if top not in found.parents:
        raise refused
    if any(part.startswith(".") for part in found.relative_to(top).parts) or found.name.endswith(SUM):
        raise refused
    return found


def listed(root: Path) -> Iterator[dict[str, Any]]:
    """Each image below `root`: its name, its path there, its size, and its MD5 sum if that is known."""
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(folder, name)
            if name.startswith(".") or name.endswith(SUM) or not path.is_file():
                continue
            yield {
                "filename": name,
                "path": str(path.relative_to(root)),
                "filesize": path.stat().st_size,
                "md5sum": _known_sum(path),
            }


async def receive(path: Path, pieces: AsyncIterator[bytes], most: int) -> None:
    """Make the image at `path` of `pieces`, in one step and once all of it has come; nothing is left if they break off.

    Raises TooLarge for more than `most` bytes, Conflict when a directory is in the way.
    """
    if await asyncio.to_thread(path.is_dir):
        raise Conflict(f"{path} is a directory; upload the image under another name.")
    draft = path.with_name(f".labplane-{secrets.token_hex(8)}")
    md5 = hashlib.md5(usedforsecurity=False)
    await asyncio.to_thread(path.parent.mkdir, parents=True, exist_ok=True)
    try:
        with await asyncio.to_thread(draft.open, "xb") as file:

            def write(data: bytes) -> None:
                md5.update(data)
                file.write(data)

            size, waiting = 0, bytearray()
            async for piece in pieces:
                size += len(piece)
                if size > most:
                    raise TooLarge(
                        f"An image has at most {most} bytes here; the setting max_bytes of 'images' says so."
                    )
                waiting += piece
                if len(waiting) >= PIECE:
                    await asyncio.to_thread(write, bytes(waiting))
                    waiting.clear()
            await asyncio.to_thread(write, bytes(waiting))
            await asyncio.to_thread(_flush, file)
        await asyncio.to_thread(_put_in_place, draft, path, md5.hexdigest())
    finally:
        with suppress(FileNotFoundError):
            await asyncio.to_thread(draft.unlink)


def delete(path: Path) -> bool:
    """Delete the image at `path` and its sum; False when there is none."""
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    path.with_name(path.name + SUM).unlink(missing_ok=True)
    return True


def _flush(file: Any) -> None:
    file.flush()
    os.fsync(file.fileno())


def _put_in_place(draft: Path, path: Path, md5: str) -> None:
    known = path.with_name(path.name + SUM)
    known.unlink(missing_ok=True)  # first, so that no moment has a new image with an old sum
    draft.rename(path)
    known.write_text(md5)


def _known_sum(path: Path) -> str | None:
    try:
        text = path.with_name(path.name + SUM).read_bytes()[:64].decode("ascii", "replace").strip()
    except OSError:
        return None
    return text if re.fullmatch("[0-9a-f]{32}", text) else None
