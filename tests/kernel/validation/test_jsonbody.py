"""Strict JSON: what json.dumps gives parses back; anything else is a BadRequest, never another exception."""

import json
import math
from typing import Any

import pytest
from hypothesis import example, given, strategies as st

from labplane import BadRequest
from labplane.validation.jsonbody import MAX_DEPTH, parse
from targets import json_front


def refusal(body: bytes) -> str | None:
    """What the BadRequest for `body` says; None when it is parsed."""
    try:
        parse(body)
    except BadRequest as error:
        return str(error)
    return None


leaves = st.none() | st.booleans() | st.integers(-(10**400), 10**400) | st.floats(allow_nan=False, allow_infinity=False)
text = st.text(st.characters(exclude_categories=["Cs"]))
values: st.SearchStrategy[Any] = st.recursive(
    leaves | text, lambda inner: st.lists(inner) | st.dictionaries(text, inner), max_leaves=30
)


@given(values, st.booleans(), st.sampled_from([None, 1, "\t"]))
def test_what_json_dumps_gives_parses_back(value: Any, ascii_only: bool, indent: Any) -> None:
    assert parse(json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode()) == value


@given(st.binary() | st.text(alphabet='[]{}",:0123456789.eE+-\\utrfalsn ').map(str.encode))
@example(b"\xef\xbb\xbf{}")
@example(b"[" * 5000)
@example(b"1" * 5000)
@example(b"-")
@example(b'"\\ud83d"')
def test_any_bytes_give_a_value_or_a_bad_request(body: bytes) -> None:
    json_front(body)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "[1e400]", "9" * 5000])
def test_numbers_that_json_or_a_float_cannot_hold_are_refused(number: str) -> None:
    """T-11."""
    with pytest.raises(BadRequest, match="The body is not JSON that can be used here"):
        parse(number.encode())


def test_a_float_that_underflows_is_zero() -> None:
    assert parse(b"1e-999") == 0
    assert math.isclose(parse(b"1.5e300"), 1.5e300)


@pytest.mark.parametrize(
    "body", [rb'"\ud800"', rb'"\udfff"', rb'{"a": ["\uD83D"]}', rb'{"\udc00": 1}', rb'"\ude00\ud83d"']
)
def test_lone_surrogates_are_refused_wherever_they_are(body: bytes) -> None:
    """T-11."""
    with pytest.raises(BadRequest, match="lone surrogate"):
        parse(body)


def test_surrogate_pairs_and_escaped_backslashes_are_fine() -> None:
    assert parse(rb'"\ud83d\ude00"') == "\U0001f600"
    assert parse(rb'"\\ud800"') == "\\ud800"


@pytest.mark.parametrize("opening", ["[", '{"":', '[{"a":'])
def test_nesting_is_allowed_up_to_999_levels(opening: str) -> None:
    """T-11. Tried up to 900: how far the last few levels go depends on how deep the caller already is."""
    levels = len(opening) - opening.count('"') - opening.count(":") - opening.count("a")
    closing = opening.translate(str.maketrans("[{", "]}", '":a'))[::-1]
    for depth in (10, 900):
        assert parse((opening * (depth // levels) + "1" + closing * (depth // levels)).encode())
    for depth in (MAX_DEPTH + levels, 5000, 200_000):
        with pytest.raises(BadRequest, match="nested more than 999 levels"):
            parse((opening * (depth // levels) + "1" + closing * (depth // levels)).encode())


def test_brackets_in_text_or_side_by_side_are_no_nesting() -> None:
    text = '["' + "[{" * 2000 + '\\"[' + '"]'
    assert parse(text.encode()) == ["[{" * 2000 + '"[']
    assert parse(b"[" + b"[]," * 2000 + b"1]")[-1] == 1


def test_deep_nesting_with_an_escaped_emoji_is_no_crash() -> None:
    """The search for lone surrogates recurses too."""
    for depth in range(900, MAX_DEPTH + 1):
        assert "nested" in (refusal(b"[" * depth + rb'"\ud83d\ude00"' + b"]" * depth) or "nested")


def test_of_repeated_members_the_last_one_wins() -> None:
    assert parse(b'{"a": 1, "a": 2}') == {"a": 2}


def test_the_message_says_where_the_mistake_is() -> None:
    with pytest.raises(BadRequest, match=r"Expecting property name .* at line 2, column 1"):
        parse(b"{\n'a': 1}")
    with pytest.raises(BadRequest, match="not UTF-8: byte 2 "):
        parse(b'"a\xff"')


def test_too_deep_for_the_stack_that_is_left_is_a_bad_request() -> None:
    def further_down(levels: int) -> str | None:
        return refusal(b"[" * 900 + b"]" * 900) if levels == 0 else further_down(levels - 1)

    assert "nested" in (further_down(700) or "nested")


def test_a_byte_order_mark_before_json_is_ignored() -> None:
    """RFC 8259, 8.1. One in the middle is what it is there: no JSON, or a character of a text."""
    assert parse(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}
    assert parse('"\ufeffa"'.encode()) == "\ufeffa"
    for body in ("{\ufeff}", "\ufeff\ufeff{}", "{}\ufeff"):
        with pytest.raises(BadRequest, match="The body is not JSON: "):
            parse(body.encode())


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("text", ["{}", '{"name": "x"}', '["ü"]', " 1"])
def test_json_in_another_unicode_encoding_is_named_as_such(encoding: str, text: str) -> None:
    with pytest.raises(BadRequest, match=r"^labplane\.json is UTF-16 or UTF-32; write it in UTF-8\.$"):
        parse(text.encode(encoding), whole="labplane.json")


@pytest.mark.parametrize("body", [b"\0", b"\0\0", b"{}\0", b"12\0\0"])
def test_a_nul_alone_is_no_encoding(body: bytes) -> None:
    with pytest.raises(BadRequest, match="The body is not JSON"):
        parse(body)
