"""The exceptions that become replies."""

from collections.abc import Mapping
from typing import ClassVar


class LabError(Exception):
    """An answer other than success; its text is the sentence that the client reads.

    Raise a subclass from anywhere below a request: the kernel turns it into the envelope (E-1) with the
    subclass's ``status``. Anything else that escapes is a crash and answers 500 without its text.
    """

    status: ClassVar[int] = 500

    @property
    def headers(self) -> Mapping[str, str]:
        """What the reply has besides its body."""
        return {}


class BadRequest(LabError):
    """400: the request itself is malformed: JSON, schema, the form of an id."""

    status = 400


class Unauthorized(LabError):
    """401: the server wants its token."""

    status = 401

    @property
    def headers(self) -> Mapping[str, str]:
        return {"WWW-Authenticate": 'Basic realm="GNS3 server"'}


class Forbidden(LabError):
    """403: well-formed, but this server does not let this client do it."""

    status = 403


class NotFound(LabError):
    """404: no such route, project or VM."""

    status = 404


class MethodNotAllowed(LabError):
    """405: the path exists and lacks the method.

    allow: the methods that it has, for the ``Allow`` header.
    """

    status = 405

    def __init__(self, message: str, allow: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.allow = allow

    @property
    def headers(self) -> Mapping[str, str]:
        return {"Allow": ", ".join(self.allow)}


class Conflict(LabError):
    """409: the request clashes with how things are now; the usual one."""

    status = 409


class Unavailable(Conflict):
    """409: the emulator cannot run here; the text says what to install or change."""


class TooSlow(LabError):
    """408: the request did not come in time; the connection ends."""

    status = 408


class HeadTooLarge(LabError):
    """431: what comes before the body is longer than the ``max_head`` setting; the connection ends."""

    status = 431


class Busy(LabError):
    """503: the server does as much at once as its settings allow."""

    status = 503


class TooLarge(LabError):
    """413: the body is longer than the ``max_body`` setting."""

    status = 413


class Fault(LabError):
    """500: a plugin failed at something; the text says which plugin and at what, the log says why."""


class ClientGone(Exception):
    """The client hung up before its request was complete."""
