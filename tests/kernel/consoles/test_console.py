"""The console: what viewers of one session see, whoever comes, goes or does not read."""

import asyncio
from typing import Any

from hypothesis import given, strategies as st

from labplane.consoles.console import HEAD, SKIPPED, TAIL, Console, Scrollback
from line import until
from screen import Screen, nowhere

WORDS = b"NOT daemon mode"

GOODBYE = b"\r\nGood-bye\r\n"


def test_every_viewer_sees_what_the_emulator_prints() -> None:
    console = Console(nowhere)
    viewers = [Screen(console), Screen(console)]
    console.feed(b"VPCS> ")
    assert [viewer.seen for viewer in viewers] == [b"VPCS> ", b"VPCS> "]
    assert console.viewers == 2


def test_what_viewers_type_reaches_the_emulator_in_order() -> None:
    typed: list[bytes] = []
    console = Console(typed.append)
    one, two = Screen(console), Screen(console)
    one.type(b"sh")
    two.type(b"ow")
    assert typed == [b"sh", b"ow"]


def test_a_viewer_that_left_is_no_longer_heard() -> None:
    typed: list[bytes] = []
    console = Console(typed.append)
    viewer = Screen(console)
    viewer.type(b"a")
    console.detach(viewer)
    console.detach(viewer)
    viewer.type(b"b")
    console.feed(b"out")
    assert typed == [b"a"]
    assert viewer.seen == b""
    assert console.viewers == 0


def test_a_newcomer_sees_what_went_before() -> None:
    console = Console(nowhere)
    console.feed(b"Welcome\r\n")
    console.feed(b"VPCS> ")
    assert Screen(console).seen == b"Welcome\r\nVPCS> "


def test_a_newcomer_gets_the_banner_and_the_recent_lines_of_a_long_session() -> None:
    console = Console(nowhere)
    console.feed(b"Welcome\r\n")
    for n in range(10_000):
        console.feed(b"line %d\r\n" % n)
    console.feed(b"VPCS> ")
    seen = Screen(console).seen
    head, tail = seen.split(SKIPPED)
    assert head.startswith(b"Welcome\r\nline 0\r\n")
    assert head.endswith(b"\r\n")
    assert tail.startswith(b"line ")
    assert tail.endswith(b"line 9999\r\nVPCS> ")
    assert TAIL - 20 < len(tail) <= TAIL


@given(st.lists(st.integers(0, 3 * TAIL), max_size=8), st.booleans())
def test_the_scrollback_is_bounded_whatever_is_printed(sizes: list[int], lines: bool) -> None:
    scrollback, everything = Scrollback(), b""
    for size in sizes:
        data = (b"0123456789abcd\r\n" if lines else b"x") * (size // (16 if lines else 1))
        scrollback.add(data)
        everything += data
    replay = scrollback.replay()
    assert len(scrollback._head) <= HEAD
    assert len(scrollback._tail) <= TAIL
    if len(everything) <= HEAD + TAIL:
        assert replay == everything
    else:
        head, tail = replay.split(SKIPPED)
        assert everything.startswith(head)
        assert everything.endswith(tail)
        assert not lines or (head.endswith(b"\n") and tail.startswith(b"0"))


def test_a_viewer_that_disconnects_reads_the_farewell_instead_of_the_words(run: Any) -> None:
    async def main() -> None:
        console = Console(nowhere, leave_on=WORDS)
        leaving, staying = Screen(console), Screen(console)
        console.feed(b"VPCS> ")
        leaving.type(b"disconnect\r")
        console.feed(b"disconnect\r\nNOT daemon mode\r\n\r\n\rVPCS> ")
        assert leaving.seen == b"VPCS> disconnect\r\n" + GOODBYE
        assert leaving.hung_up == 1
        assert staying.seen == b"VPCS> disconnect\r\n\r\n\r\n\rVPCS> "
        assert not staying.hung_up
        assert console.viewers == 1
        assert Screen(console).seen == staying.seen

    run(main())


@given(st.lists(st.integers(1, 8), max_size=60))
def test_the_words_are_found_however_the_output_is_split(cuts: list[int]) -> None:
    output = b"disconnect\r\nNO NOT NOT daemon mode\r\n\r\n\rVPCS> "

    async def main() -> None:
        console = Console(nowhere, leave_on=WORDS)
        leaving, staying = Screen(console), Screen(console)
        leaving.type(b"disconnect\r")
        rest = output
        for cut in cuts:
            console.feed(rest[:cut])
            rest = rest[cut:]
        console.feed(rest)
        assert leaving.seen == b"disconnect\r\nNO NOT " + GOODBYE
        assert staying.seen == output.replace(WORDS, b"")

    asyncio.run(main())


def test_words_said_twice_in_one_feed_dismiss_one_viewer_alone(run: Any) -> None:
    async def main() -> None:
        console = Console(nowhere, leave_on=WORDS, farewell=b"Bye")
        leaving, staying = Screen(console), Screen(console)
        leaving.type(b"disconnect\r")
        console.feed(WORDS + b"\r\n" + WORDS + b"\r\n> ")
        assert leaving.seen == b"\r\nBye\r\n"
        assert staying.seen == b"\r\n\r\n> "
        assert not staying.hung_up

    run(main())


def test_output_that_only_begins_like_the_words_appears_within_the_hold(run: Any) -> None:
    async def main() -> None:
        console = Console(nowhere, leave_on=WORDS)
        viewer = Screen(console)
        console.feed(b"VPCS> N")
        assert viewer.seen == b"VPCS> "
        await until(lambda: viewer.seen == b"VPCS> N")
        assert Screen(console).seen == b"VPCS> N"

    run(main())


def test_a_growing_match_is_not_held_longer_than_its_first_byte(run: Any) -> None:
    async def main() -> None:
        console = Console(nowhere, leave_on=WORDS)
        viewer = Screen(console)
        console.feed(b"N")
        first = console._hold
        assert first is not None
        console.feed(b"O")
        assert console._hold is first
        assert not first.cancelled()
        console.feed(b"pe")
        assert viewer.seen == b"NOpe"
        assert console._hold is None

    run(main())


def test_closing_shows_what_was_held_and_nothing_after(run: Any) -> None:
    async def main() -> None:
        console = Console(nowhere, leave_on=WORDS)
        viewer = Screen(console)
        console.feed(b"bye NOT")
        console.close()
        assert viewer.seen == b"bye NOT"
        assert viewer.hung_up == 1
        console.feed(b"late")
        viewer.type(b"late")
        console.close()
        assert viewer.seen == b"bye NOT"
        late = Screen(console)
        assert late.hung_up == 1
        assert console.viewers == 0

    run(main())
