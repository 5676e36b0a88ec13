"""What a viewer types means the same in whatever pieces it comes, at both doors."""

from hypothesis import given, strategies as st

from labplane.consoles.keyboard import Keyboard


def typed(*pieces: bytes) -> bytes:
    seen: list[bytes] = []
    keyboard = Keyboard(seen.append)
    for piece in pieces:
        keyboard.feed(piece)
    assert all(seen)
    return b"".join(seen)


def test_an_enter_in_two_pieces_is_one() -> None:
    assert typed(b"show\r", b"\n") == b"show\r"
    assert typed(b"\r", b"", b"\0", b"\n") == b"\r\r"
    assert typed(b"\r", b"\nshow\r", b"\0\r\n") == b"\rshow\r\r"


def test_two_enters_are_two() -> None:
    assert typed(b"\r", b"\r") == typed(b"\n", b"\n") == typed(b"\r\n", b"\r\n") == b"\r\r"
    assert typed(b"\n", b"\r") == b"\r\r"
    assert typed(b"\r", b"x", b"\n") == b"\rx\r"


@given(st.text("\r\n\0ab", max_size=30), st.data())
def test_where_it_is_cut_makes_no_difference(text: str, data: st.DataObject) -> None:
    whole = text.encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    pieces = [whole[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert typed(*pieces) == typed(whole)
