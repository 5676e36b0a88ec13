"""Consoles over WebSockets: `Console` and `AsyncConsole`, which show what a VM prints and type at it."""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import httpx2
from websockets.asyncio import client as coroutines
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI
from websockets.sync import client as threads

from labplane_client.errors import ClientError

PROMPT = rb"(?:^|[\r\n])[^\r\n]*[>#$%] ?"
_escapes = re.compile(rb"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[@-Z\\-_]|\x07")


class Transcript:
    """What a console has printed: whether it is at its prompt, and what it printed since a line was typed."""

    def __init__(self, prompt: bytes) -> None:
        self.seen = b""
        self._prompt = re.compile(rb"(?:" + prompt + rb")\Z")

    @property
    def at_prompt(self) -> bool:
        return self._prompt.search(self.seen[-500:]) is not None

    def answered(self, until: str | None) -> bool:
        """Whether the line that was typed is answered; the first line is its echo."""
        _, echoed, rest = self.seen.partition(b"\n")
        found = self.at_prompt if until is None else re.search(until.encode(), rest, re.MULTILINE)
        return bool(echoed and found)

    def answer(self, line: str) -> str:
        """What was printed, without the echoed line and the prompt, its lines ended by line feeds."""
        lines = _text(self._prompt.sub(b"", self.seen)).split("\n")
        echoed = 1
        while line and echoed < len(lines) - 1 and lines[echoed].strip() == line.strip():  # the terminal's own echo
            echoed += 1
        return "\n".join(lines[echoed:])


class Console:
    """A console that is open: what it prints is read with `receive`, `ask` types a line. Raises ClientError."""

    def __init__(self, socket: threads.ClientConnection, prompt: bytes) -> None:
        self._socket, self._transcript = socket, Transcript(prompt)

    def receive(self, timeout: float | None = None) -> bytes:
        """What is printed next; b"" when nothing came in time."""
        try:
            return _bytes(self._socket.recv(timeout))
        except TimeoutError:
            return b""
        except ConnectionClosed as error:
            raise _closed(error) from None

    def send(self, data: bytes) -> None:
        """Type `data`, in which b"\\r" is Enter."""
        try:
            self._socket.send(data)
        except ConnectionClosed as error:
            raise _closed(error) from None

    def ask(self, line: str, *, until: str | None = None, timeout: float = 30.0) -> str:
        """Type a line at the prompt; what it printed until the next prompt, or until this regular expression."""
        deadline, seen = time.monotonic() + timeout, self._transcript
        while not seen.at_prompt:
            seen.seen += self._next(deadline, seen)
        seen.seen = b""
        self.send(line.encode() + b"\r")
        while not seen.answered(until):
            seen.seen += self._next(deadline, seen)
        return seen.answer(line)

    def _next(self, deadline: float, seen: Transcript) -> bytes:
        left = deadline - time.monotonic()
        return (self.receive(left) if left > 0 else b"") or _late(seen)


class AsyncConsole:
    """`Console` with coroutines."""

    def __init__(self, socket: coroutines.ClientConnection, prompt: bytes) -> None:
        self._socket, self._transcript = socket, Transcript(prompt)

    async def receive(self, timeout: float | None = None) -> bytes:
        """What is printed next; b"" when nothing came in time."""
        try:
            async with asyncio.timeout(timeout):
                return _bytes(await self._socket.recv())
        except TimeoutError:
            return b""
        except ConnectionClosed as error:
            raise _closed(error) from None

    async def send(self, data: bytes) -> None:
        """Type `data`, in which b"\\r" is Enter."""
        try:
            await self._socket.send(data)
        except ConnectionClosed as error:
            raise _closed(error) from None

    async def ask(self, line: str, *, until: str | None = None, timeout: float = 30.0) -> str:
        """Type a line at the prompt; what it printed until the next prompt, or until this regular expression."""
        deadline, seen = time.monotonic() + timeout, self._transcript
        while not seen.at_prompt:
            seen.seen += await self._next(deadline, seen)
        seen.seen = b""
        await self.send(line.encode() + b"\r")
        while not seen.answered(until):
            seen.seen += await self._next(deadline, seen)
        return seen.answer(line)

    async def _next(self, deadline: float, seen: Transcript) -> bytes:
        left = deadline - time.monotonic()
        return (await self.receive(left) if left > 0 else b"") or _late(seen)


@contextmanager
def open_console(http: httpx2.Client, path: str, prompt: bytes) -> Iterator[Console]:
    """The console at that path of the server, closed on leaving."""
    try:
        socket = threads.connect(**_where(http, path))
    except (InvalidHandshake, InvalidURI, OSError) as error:
        raise _refused(error, http) from None
    with socket:
        yield Console(socket, prompt)


@asynccontextmanager
async def open_async_console(http: httpx2.AsyncClient, path: str, prompt: bytes) -> AsyncIterator[AsyncConsole]:
    """The same with coroutines."""
    try:
        socket = await coroutines.connect(**_where(http, path))
    except (InvalidHandshake, InvalidURI, OSError) as error:
        raise _refused(error, http) from None
    async with socket:
        yield AsyncConsole(socket, prompt)


def _where(http: httpx2.Client | httpx2.AsyncClient, path: str) -> dict[str, Any]:
    base = str(http.base_url).rstrip("/")
    token = {name: value for name, value in http.headers.items() if name.lower() == "authorization"}
    uri = base.replace("http", "ws", 1) + path
    return {"uri": uri, "additional_headers": token, "compression": None, "max_size": None, "proxy": None}


def _refused(error: Exception, http: httpx2.Client | httpx2.AsyncClient) -> ClientError:
    if isinstance(error, InvalidStatus):
        try:
            return ClientError(error.response.status_code, str(json.loads(error.response.body)["message"]))
        except (ValueError, KeyError, TypeError):
            return ClientError(error.response.status_code, f"The console is not opened: {error}.")
    return ClientError(None, f"{http.base_url} does not answer: {error}")


def _closed(error: ConnectionClosed) -> ClientError:
    reason = error.rcvd.reason if error.rcvd else ""
    return ClientError(None, f"The console was closed. {reason}".strip())


def _late(seen: Transcript) -> bytes:
    raise ClientError(None, f"The console did not come to its prompt in time; it shows {_text(seen.seen[-200:])!r}.")


def _bytes(data: str | bytes) -> bytes:
    return data.encode() if isinstance(data, str) else data


def _text(data: bytes) -> str:
    return _escapes.sub(b"", data).replace(b"\r", b"").decode(errors="replace")
