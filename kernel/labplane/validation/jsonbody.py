"""Strict JSON for request bodies: what RFC 8259 allows and nothing more (T-4, T-11)."""

import json
import math
from typing import Any, NoReturn

from labplane.errors import BadRequest

MAX_DEPTH = 999


def parse(body: bytes, deepest: int = MAX_DEPTH) -> Any:
    """The value that `body` holds.

    Raises BadRequest for anything but UTF-8 JSON, for NaN and infinities (1e999 included), for lone
    surrogates, and for values nested more than `deepest` levels. Of repeated members the last one wins.
    """
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadRequest(f"The body is not UTF-8: byte {error.start} cannot be decoded.") from None
    if _may_nest_too_deep(text, deepest):
        raise BadRequest(f"The body is nested more than {deepest} levels deep.")
    try:
        value = _decoder.decode(text)
        if "\\ud" in text or "\\uD" in text:
            _refuse_surrogates(value)
    except json.JSONDecodeError as error:
        raise BadRequest(f"The body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}.") from None
    except RecursionError:
        raise BadRequest(f"The body is nested more than {deepest} levels deep.") from None
    except ValueError as error:
        raise BadRequest(f"The body is not JSON that can be used here: {error}.") from None
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


def _refuse_surrogates(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise BadRequest("The body has a lone surrogate escape (\\ud800 to \\udfff), which is no character.") from None
