"""Telnet: whatever a client sends in whatever pieces, the emulator gets keys and the client a clean session."""

import asyncio
import tracemalloc

import pytest
from hypothesis import given, strategies as st

from labplane.consoles.console import Console
from labplane.consoles.telnet import SLICE, Telnet
from line import Line, until
from targets import exchange

IAC, SB, SE = b"\xff", b"\xff\xfa", b"\xff\xf0"

DO, DONT, WILL, WONT = b"\xff\xfd", b"\xff\xfe", b"\xff\xfb", b"\xff\xfc"


def sent(*pieces: bytes, output: bytes = b"") -> tuple[bytes, bytes]:
    return asyncio.run(exchange(list(pieces), output))


telnetish = st.lists(
    st.sampled_from([IAC, SB, SE, DO, DONT, WILL, WONT, b"\r", b"\n", b"\0", b"\x01", b"\x03", b"\x18", b"ab"])
    | st.binary(max_size=3),
    max_size=40,
).map(b"".join)


@given(telnetish, st.lists(st.integers(1, 5), max_size=60))
def test_any_split_of_any_bytes_means_the_same(data: bytes, cuts: list[int]) -> None:
    pieces, rest = [], data
    for cut in cuts:
        pieces.append(rest[:cut])
        rest = rest[cut:]
    assert sent(*pieces, rest) == sent(data)


@given(st.binary(max_size=3 * SLICE))
def test_doubled_bytes_255_are_literal_in_both_directions(data: bytes) -> None:
    doubled = data.replace(IAC, IAC + IAC)
    typed, seen = sent(doubled, output=data)
    assert typed.count(IAC) == data.count(IAC)
    assert seen == doubled


@given(st.lists(st.sampled_from([b"\r\n", b"\r\0", b"\n", b"\r", b"show"]), max_size=20), st.data())
def test_each_enter_is_one_cr_for_the_emulator(keys: list[bytes], data: st.DataObject) -> None:
    expected = [b"show" if key == b"show" else b"\r" for key in keys]
    bare = [n for n in range(1, len(keys)) if keys[n - 1] == b"\r" and keys[n] == b"\n"]
    for n in bare:
        expected[n] = b""
    stream = b"".join(keys)
    cut = data.draw(st.integers(0, len(stream)))
    assert sent(stream[:cut], stream[cut:])[0] == b"".join(expected)


def test_a_command_between_cr_and_lf_does_not_make_two_enters() -> None:
    assert sent(b"a\r", IAC + b"\xf1", b"\nb") == (b"a\rb", b"")


@pytest.mark.parametrize(("command", "key"), [(b"\xf4", b"\x03"), (b"\xf3", b"\x03"), (b"\xf7", b"\x7f")])
def test_interrupt_break_and_erase_are_keys(command: bytes, key: bytes) -> None:
    assert sent(b"a" + IAC + command + b"b") == (b"a" + key + b"b", b"")


def test_are_you_there_is_answered() -> None:
    assert sent(IAC + b"\xf6") == (b"", b"\r\n[yes]\r\n")


@pytest.mark.parametrize("option", [option for option in range(255) if option not in (1, 3)])
def test_options_that_nobody_asked_for_are_refused(option: int) -> None:
    name = bytes([option])
    assert sent(DO + name) == (b"", WONT + name)
    assert sent(WILL + name) == (b"", DONT + name)
    assert sent(DONT + name) == (b"", b"")
    assert sent(WONT + name) == (b"", b"")


def test_agreement_to_what_was_offered_is_not_answered_again() -> None:
    assert sent(DO + b"\x01" + DO + b"\x03" + WILL + b"\x03", b"x") == (b"x", b"")
    assert sent(DONT + b"\x01" + DONT + b"\x03" + WONT + b"\x03", b"x") == (b"x", b"")
    assert sent(WILL + b"\x01") == (b"", DONT + b"\x01")


def test_subnegotiations_are_skipped() -> None:
    assert sent(b"a" + SB + b"\x18\0xterm" + IAC + IAC + SE + b"b") == (b"ab", b"")
    assert sent(SB + SE + b"b") == (b"b", b"")


def test_an_endless_subnegotiation_takes_no_memory() -> None:
    async def main() -> None:
        viewer = Telnet(Console(lambda _: None))
        viewer.connection_made(Line())
        viewer.data_received(SB)
        piece = b"x" * SLICE
        viewer.data_received(piece)
        tracemalloc.start()
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(50):
            viewer.data_received(piece)
        after, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert after - before < 8 * 1024
        viewer.connection_lost(None)

    asyncio.run(main())


def test_a_flood_is_taken_in_slices_between_which_others_have_their_turn() -> None:
    async def main() -> None:
        typed: list[bytes] = []
        viewer, line = Telnet(Console(typed.append)), Line()
        viewer.connection_made(line)
        viewer.data_received(b"x" * (3 * SLICE))
        assert len(b"".join(typed)) == SLICE
        assert not line.reading
        await until(lambda: line.reading)
        assert len(b"".join(typed)) == 3 * SLICE
        viewer.data_received(b"y" * (2 * SLICE))
        line.close()
        await asyncio.sleep(0)
        assert typed[-1] == b"y" * SLICE
        viewer.connection_lost(None)

    asyncio.run(main())
