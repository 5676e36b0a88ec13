"""A listener to a stream of events, which reads as GUI 1.5 does: objects one after the other, however they are cut."""

import http.client
import json
from typing import Any

from support import DEADLINE
from wire import Wire


class Listener:
    """response: the head of the stream, with its status and headers."""

    def __init__(self, port: int, path: str) -> None:
        self._wire = Wire(port)
        self._wire.head("GET", path)
        self._wire.socket.settimeout(DEADLINE)
        self.response = http.client.HTTPResponse(self._wire.socket, method="GET")
        self.response.begin()
        self._text = ""

    def __enter__(self) -> "Listener":
        return self

    def __exit__(self, *_: object) -> None:
        self.response.close()
        self._wire.socket.close()

    def next(self) -> dict[str, Any] | None:
        """The next object; None when the stream has ended in order."""
        while True:
            self._text = self._text.lstrip()
            try:
                found, end = json.JSONDecoder().raw_decode(self._text)
            except ValueError:
                data = self.response.read1(65536)
                if not data:
                    assert not self._text, f"the stream ended within {self._text!r}"
                    return None
                self._text += data.decode()
                continue
            self._text = self._text[end:]
            assert isinstance(found, dict)
            return found

    def events(self, count: int) -> list[tuple[str, Any]]:
        """The next `count` as (action, event), pings left out."""
        found: list[tuple[str, Any]] = []
        while len(found) < count:
            one = self.next()
            assert one is not None, f"the stream ended after {found}"
            if one["action"] != "ping":
                found.append((one["action"], one["event"]))
        return found

    def rest(self) -> list[tuple[str, Any]]:
        """All that comes until the stream ends, pings left out."""
        found = []
        while (one := self.next()) is not None:
            if one["action"] != "ping":
                found.append((one["action"], one["event"]))
        return found
