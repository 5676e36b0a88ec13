"""What may be given any bytes at all: each takes some, and fails when what they do is not what was promised."""

import asyncio
import io
import json
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from archives import archive, everything, flagged, renamed, special
from labplane import BadRequest, TooLarge
from labplane.consoles.console import Console
from labplane.consoles.telnet import Telnet
from labplane.validation.jsonbody import MAX_DEPTH, parse
from labplane_files.unpack import Archive, Limits
from line import OFFER, Line, until

LIMITS = Limits(files=20, bytes=1 << 20, ratio=100)


def json_front(data: bytes) -> None:
    """A value that json.loads finds too and that can be sent back, or a BadRequest that has a reason."""
    reason = None
    try:
        value = parse(data)
    except BadRequest as error:
        reason = str(error)
    if reason is not None:
        assert reason.startswith("The body "), reason
        assert not _is_plain_json(data), "refused, and nothing was wrong with it"
        return
    assert json.loads(data) == value
    json.dumps(value, ensure_ascii=False, allow_nan=False).encode()


def _is_plain_json(data: bytes) -> bool:
    try:
        text = data.decode()
        value = json.loads(text)
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        return False
    return text.count("[") + text.count("{") <= MAX_DEPTH


def telnet(data: bytes) -> None:
    """The same keys and the same answers, in whatever pieces it comes; the first byte says how long they are."""
    size, rest = 1 + data[0] % 16 if data else 1, data[1:]
    pieces = [rest[at : at + size] for at in range(0, len(rest), size)]
    assert asyncio.run(exchange(pieces)) == asyncio.run(exchange([rest]))


async def exchange(pieces: list[bytes], output: bytes = b"") -> tuple[bytes, bytes]:
    """What the emulator was given, and what the client was sent after the offer."""
    typed: list[bytes] = []
    console, line = Console(typed.append), Line()
    viewer = Telnet(console)
    viewer.connection_made(line)
    assert line.sent == OFFER
    for piece in pieces:
        viewer.data_received(piece)
        if not line.reading:
            await until(lambda: line.reading)
    console.feed(output)
    line.close()
    viewer.connection_lost(None)
    return b"".join(typed), line.sent.removeprefix(OFFER)


def makes_lab(name: str) -> bool:
    """Any file does, so that every archive is looked into."""
    return bool(name)


def unpacking(data: bytes) -> None:
    """Files within the limits, in the directory that they belong in and nowhere else; or a refusal with a reason."""
    with tempfile.TemporaryDirectory() as outer:
        root = Path(outer) / "around" / "root"
        root.mkdir(parents=True)
        # Any other exception is a failure.
        with suppress(BadRequest, TooLarge):
            for _ in Archive(io.BytesIO(data), LIMITS, makes_lab).unpack(root):
                pass
        there = everything(Path(outer))
    assert all(path in ("around", "around/root") or path.startswith("around/root/") for path in there), there
    files = [content for content in there.values() if content is not None]
    assert len(files) <= LIMITS.files
    assert sum(map(len, files)) <= LIMITS.bytes


TARGETS: Mapping[str, Callable[[bytes], None]] = {"json": json_front, "telnet": telnet, "archive": unpacking}

SEEDS: Mapping[str, list[bytes]] = {
    "json": [b'{"name": "PC\\ud83d\\ude00", "a": [1e3, -0.5, null, true, {}]}', b'"\\ud800"', b"[" * 1001, b"NaN"],
    "telnet": [
        b"\x02a\xff\xfb\x01\r\n\xff\xff",
        b"\x01\xff\xfa\x18\0xterm\xff\xff\xff\xf0b",
        b"\x03\xff\xf6\xff\xf4\r\0",
    ],
    "archive": [
        archive({"a/b": "b" * 99, "c": b""}, {"format": "labplane"}),
        archive({f"{number}": "" for number in range(21)}),
        archive({"../x": "out", "/y": "out"}),
        renamed("aaaaaaaa", "../../xx"),
        flagged(archive({"a": "a"}), 1),
        special(0o120777),
    ],
}
