"""Who may come in, when the settings ask for a token: raw ASGI, so that no plugin forgets it."""

import base64
import binascii
import hashlib
import os
import secrets
import stat
import time
from collections import OrderedDict
from collections.abc import Awaitable
from hmac import compare_digest
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from urllib.parse import parse_qs

from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from labplane.api.replies import envelope
from labplane.api.requests import read_body
from labplane.errors import ClientGone, LabError, Unauthorized
from labplane.settings import SettingsError

TOKEN_BYTES = 32
COOKIE = "labplane_session"
SESSION_SECONDS = 12 * 3600
SESSIONS = 64
LOGIN = "/login"
LOGIN_QUERY = b"login"
LONGEST_LOGIN = 4096

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>labplane</title>
<style>body{font:16px system-ui;margin:4em auto;max-width:24em}input{font:inherit;width:100%;margin:.5em 0}</style>
<h1>labplane</h1>
<form method="post" action="?login"><label>Token of this server
<input type="password" name="token" autofocus autocomplete="current-password"></label>
<input type="submit" value="Enter"></form></html>
"""


def token_in(path: Path) -> tuple[str, bool]:
    """The token that the file holds, and whether it was made just now. Raises SettingsError."""
    try:
        try:
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return _made(path), True
        with open(handle, encoding="ascii") as file:
            if os.fstat(handle).st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise SettingsError(f"'token_file': others may read {path}; chmod 600 it, or delete it to have it made")
            token = file.read(4096).strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not ASCII"
        raise SettingsError(f"'token_file': {path} cannot be used: {reason}") from None
    if len(token) < TOKEN_BYTES:
        raise SettingsError(
            f"'token_file': {path} holds fewer than {TOKEN_BYTES} characters; delete it to have it made"
        )
    return token, False


def _made(path: Path) -> str:
    token = secrets.token_urlsafe(TOKEN_BYTES)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open(
        os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "w", encoding="ascii"
    ) as file:
        file.write(token + "\n")
    return token


class TokenAuth:
    """Lets in who has the token, in one of three forms.

    As ``Authorization: Bearer``; as the password of HTTP Basic with any user, which is what GNS3 1.x clients can
    send; or as a cookie of a browser's session, for which the token is exchanged once.
    """

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = _digest(token)
        self._accepted = secrets.token_bytes(TOKEN_BYTES)  # the last credentials that were right, of which many follow
        self._sessions: OrderedDict[bytes, float] = OrderedDict()  # until when, oldest first

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] not in ("http", "websocket"):
            return self._app(scope, receive, send)
        if scope["type"] == "http" and scope["method"] == "POST" and _is_login(scope):
            return self._log_in(scope, receive, send)
        for name, value in scope["headers"]:
            if (name == b"authorization" and self._knows(value)) or (name == b"cookie" and self._remembers(value)):
                return self._app(scope, receive, send)
        if scope["type"] == "websocket":
            return send({"type": "websocket.close", "code": 1008})
        return _refusal(scope)(scope, receive, send)

    async def _log_in(self, scope: Scope, receive: Receive, send: Send) -> None:
        await (await self._login_reply(scope, receive))(scope, receive, send)

    def _knows(self, credentials: bytes) -> bool:
        if compare_digest(credentials, self._accepted):
            return True
        if known := self._is_token(credentials):
            self._accepted = credentials
        return known

    def _is_token(self, credentials: bytes) -> bool:
        kind, _, rest = credentials.partition(b" ")
        if kind.lower() == b"basic":
            try:
                rest = base64.b64decode(rest.strip(), validate=True).partition(b":")[2]
            except binascii.Error:
                return False
        elif kind.lower() != b"bearer":
            return False
        return compare_digest(_digest(rest.strip()), self._token)

    def _remembers(self, cookies: bytes) -> bool:
        try:
            morsel = SimpleCookie(cookies.decode("latin-1")).get(COOKIE)
        except CookieError:
            return False
        until = self._sessions.get(_digest(morsel.value)) if morsel is not None else None
        return until is not None and until > time.monotonic()

    async def _login_reply(self, scope: Scope, receive: Receive) -> Response:
        try:
            form = parse_qs((await read_body(scope, receive, LONGEST_LOGIN)).decode("latin-1"))
        except ClientGone:
            return Response(status_code=400)
        except LabError as error:
            return envelope(error)
        given = form.get("token", [""])[0]
        if not compare_digest(_digest(given.strip()), self._token):
            return HTMLResponse(PAGE, Unauthorized.status)
        session = secrets.token_urlsafe(TOKEN_BYTES)
        self._sessions[_digest(session)] = time.monotonic() + SESSION_SECONDS
        while len(self._sessions) > SESSIONS:
            self._sessions.popitem(last=False)
        # Relative, and so right below the path of a proxy too: back to the page that was asked for.
        reply = RedirectResponse("/" if scope["path"] == LOGIN else "./" + scope["path"].rsplit("/", 1)[1], 303)
        encrypted = scope["scheme"] == "https"
        reply.set_cookie(COOKIE, session, SESSION_SECONDS, httponly=True, samesite="strict", secure=encrypted)
        return reply


def _is_login(scope: Scope) -> bool:
    return bool(scope["path"] == LOGIN or scope["query_string"] == LOGIN_QUERY)


def _refusal(scope: Scope) -> Response:
    wants_page = any(name == b"accept" and b"text/html" in value for name, value in scope["headers"])
    if wants_page and scope["method"] == "GET":
        return HTMLResponse(PAGE, Unauthorized.status)
    return envelope(
        Unauthorized("This server wants its token, as bearer or as the password of HTTP Basic with any user.")
    )


def _digest(secret: str | bytes) -> bytes:
    """Of one length and without a hint at what it was, to be compared in constant time."""
    return hashlib.sha256(secret.encode("latin-1", "replace") if isinstance(secret, str) else secret).digest()
