"""Questions to DNS servers and their answers (RFC 1035, RFC 3596)."""

import struct

PORT = 53
A = 1
AAAA = 28
CNAME = 5
HEADER = 12
MOST_RECORDS = 64
LONGEST_NAME = 253
FORM = struct.Struct("!HHHHHH")


def question(ident: int, name: str, kind: int) -> bytes | None:
    """The message that asks for records of that `kind`; None for what is no name."""
    try:
        labels = [label.encode("ascii") for label in name.rstrip(".").split(".")]
    except UnicodeEncodeError:
        return None
    if len(name) > LONGEST_NAME or any(not 0 < len(label) < 64 for label in labels):
        return None
    coded = b"".join(bytes((len(label),)) + label for label in labels)
    return FORM.pack(ident, 0x0100, 1, 0, 0, 0) + coded + struct.pack("!BHH", 0, kind, 1)


def answer(message: bytes, ident: int, kind: int) -> tuple[bool, bytes | None]:
    """Whether `message` answers the question `ident`, and the first address of that `kind` in it."""
    if len(message) < HEADER:
        return False, None
    known, flags, questions, answers, _, _ = FORM.unpack_from(message)
    if known != ident or not flags & 0x8000:
        return False, None
    at: int | None = HEADER
    for _ in range(min(questions, MOST_RECORDS)):
        at = _after_name(message, at)
        if at is None:
            return True, None
        at += 4
    for _ in range(min(answers, MOST_RECORDS)):
        at = _after_name(message, at)
        if at is None or at + 10 > len(message):
            return True, None
        found, _, _, length = struct.unpack_from("!HHIH", message, at)
        data = message[at + 10 : at + 10 + length]
        if found == kind and len(data) == (4 if kind == A else 16):
            return True, data
        at += 10 + length
    return True, None


def _after_name(message: bytes, at: int | None) -> int | None:
    """Where the name that begins `at` ends; None when it does not end within the message."""
    while at is not None and at < len(message):
        size = message[at]
        if size >= 0xC0:
            return at + 2
        at += 1 + size
        if not size:
            return at
    return None
