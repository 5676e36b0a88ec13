"""JSON replies look as those of the standard library, whatever they say (T-5)."""

import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from labplane.api.replies import JSONReply

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(st.text(), inner)
        | st.dictionaries(st.integers(), inner)
    ),
    max_leaves=20,
)


@given(values)
def test_a_reply_is_what_json_writes_with_four_spaces_and_sorted_keys(value: Any) -> None:
    assert JSONReply(value).body == json.dumps(value, indent=4, sort_keys=True).encode()


@pytest.mark.parametrize("value", [float("nan"), [float("inf")], {"a": -float("inf")}])
def test_a_reply_never_says_what_is_no_json(value: Any) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        JSONReply(value)
