"""Downloads: replies whose body is made piece by piece while the client reads it."""

import re
from collections.abc import Callable, Iterator, Mapping
from urllib.parse import quote

from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

PIECE = 256 * 1024


class Download(StreamingResponse):
    """A reply whose body is an iterator of pieces, each made in a thread; a reply to HEAD has no body.

    close: called when the reply ends, whether it is complete or not.
    """

    def __init__(
        self,
        pieces: Iterator[bytes],
        close: Callable[[], None],
        media_type: str,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(pieces, headers=headers, media_type=media_type)
        self._close = close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if scope["method"] == "HEAD":
                reply = Response(media_type=self.media_type)
                reply.raw_headers = self.raw_headers
                await reply(scope, receive, send)
            else:
                await super().__call__(scope, receive, send)
        finally:
            self._close()


def saved_as(name: str) -> str:
    """The Content-Disposition of a download that is to be saved under `name` (RFC 6266).

    A browser takes what stands before a slash for a directory, or refuses the name: each slash becomes `_`.
    """
    name = re.sub(r"[/\\]", "_", name)
    plain = re.fullmatch(r"[ !#$&-\[\]-~]+", name)  # neither a quote, a backslash nor a percent sign
    return f'attachment; filename="{name}"' if plain else f"attachment; filename*=UTF-8''{quote(name, safe='')}"
