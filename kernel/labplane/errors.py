"""The exceptions that become replies."""

import errno
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

    @property
    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": "1"}


class TooLarge(LabError):
    """413: the body is longer than the ``max_body`` setting."""

    status = 413


class StorageFull(LabError):
    """507: the disk of the server is full, or the quota of its user is used up."""

    status = 507


class Fault(LabError):
    """500: a plugin failed at something; the text says which plugin and at what, the log says why."""


class ClientGone(Exception):
    """The client hung up before its request was complete."""


_NO_RIGHT = (Conflict, "The server's user has no right to do this{at}. Give it the right and try again.")
_OF_THE_SYSTEM: Mapping[int, tuple[type[LabError], str]] = {
    errno.ENOSPC: (StorageFull, "There is no space left on the disk{at}. Make room there and try again."),
    errno.EDQUOT: (StorageFull, "The disk quota of the server's user is used up{at}. Free some of it and try again."),
    errno.EROFS: (Conflict, "The file system is mounted read-only{at}. Mount it for writing and try again."),
    errno.EACCES: _NO_RIGHT,
    errno.EPERM: _NO_RIGHT,
    errno.EBUSY: (
        Conflict,
        "The system uses what was to be removed{at}, as a mount point. Free it and try again.",
    ),
    errno.ENOTEMPTY: (Conflict, "A program wrote into what was to be removed{at}. End that program and try again."),
    errno.EIO: (Conflict, "The disk failed{at}. Look into the system's log and check the disk before you try again."),
    errno.EMFILE: (Busy, "The server has as many files open as it may. Stop some VMs, or raise its limit (ulimit -n)."),
    errno.ENFILE: (Busy, "The system has as many files open as it can. End other programs and try again."),
    errno.ENOMEM: (Busy, "The system has no memory left. Stop some VMs or end other programs, and try again."),
    errno.EAGAIN: (Busy, "The system takes no further process. Stop some VMs or end other programs, and try again."),
}


def answer_to(error: BaseException) -> LabError | None:
    """The answer when the system refused something to the server: a full disk, say. None when `error` is another one.

    Such an error is no fault of the code at which it shows.
    """
    if not isinstance(error, OSError) or error.errno is None or error.errno not in _OF_THE_SYSTEM:
        return None
    answer, sentence = _OF_THE_SYSTEM[error.errno]
    return answer(sentence.format(at=f" at {error.filename}" if error.filename else ""))
