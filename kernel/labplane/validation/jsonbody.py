"""Strict JSON for request bodies: what RFC 8259 allows and nothing more (T-4, T-11)."""

import codecs
import json
import math
from typing import Any, NoReturn

from labplane.errors import BadRequest

MAX_DEPTH = 999


def decode(data: bytes) -> str:
    """`data` as text, without the byte order mark that may precede it (RFC 8259 lets it be ignored).

    Raises UnicodeError, with half a sentence that says what is wrong, for anything but UTF-8.
    """
    if data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) or (0 in data[:2] and any(data[:4])):
        raise UnicodeError("is UTF-16 or UTF-32; write it in UTF-8")
    try:
        return data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise UnicodeError(f"is not UTF-8: byte {error.start} cannot be decoded") from None


def parse(body: bytes, deepest: int = MAX_DEPTH, whole: str = "The body") -> Any:
    """The value that `body` holds; whole: what it is called in messages.

    Raises BadRequest for anything but UTF-8 JSON, for NaN and infinities (1e999 included), for lone
    surrogates, and for values nested more than `deepest` levels. Of repeated members the last one wins.
    """
    try:
        text = decode(body)
    except UnicodeError as error:
        raise BadRequest(f"{whole} {error}.") from None
    if _may_nest_too_deep(text, deepest):
        raise BadRequest(f"{whole} is nested more than {deepest} levels deep.")
    try:
        value = _decoder.decode(text)
        if "\\ud" in text or "\\uD" in text:
            _refuse_surrogates(value, whole)
    except json.JSONDecodeError as error:
        raise BadRequest(f"{whole} is not JSON: {error.msg} at line {error.lineno}, column {error.colno}.") from None
    except RecursionError:
        raise BadRequest(f"{whole} is nested more than {deepest} levels deep.") from None
    except ValueError as error:
        raise BadRequest(f"{whole} is not JSON that can be used here: {error}.") from None
    return value


def _may_nest_too_deep(text: str, deepest: int) -> bool:
    if text.count("[") + text.count("{") <= deepest:
        return False
    depth = 0
    in_string = escaped = False
    for character in text:
        if in_string:
            if escaped:
                escaped = False
            elif character == "\\":
                escaped = True
            elif character == '"':
                in_string = False
        elif character == '"':
            in_string = True
        elif character in "[{":
            depth += 1
            if depth > deepest:
                return True
        elif character in "]}":
            depth -= 1
    return False


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _finite(literal: str) -> float:
    number = float(literal)
    if math.isinf(number):
        raise ValueError(f"the number {literal[:40]} is too large")
    return number


_decoder = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite)


def _refuse_surrogates(value: Any, whole: str) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise BadRequest(f"{whole} has a lone surrogate escape (\\ud800 to \\udfff), which is no character.") from None
