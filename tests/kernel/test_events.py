"""The hub of events: who hears what, in which order, and what becomes of who does not read."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from labplane import Event, events


def actions(subscription: events.Subscription) -> list[str]:
    """What waits to be read."""
    return [event.action for event in subscription._events]


def test_a_listener_hears_its_project_and_one_to_all_hears_everything() -> None:
    hub = events.Events()
    mine, all_of_them = hub.listen("p"), hub.listen()
    for action, project_id in (("a", "p"), ("b", "q"), ("c", None)):
        hub.emit(action, {}, project_id)
    assert actions(mine) == ["a"]
    assert actions(all_of_them) == ["a", "b", "c"]


def test_what_nobody_wants_is_not_even_looked_at() -> None:
    hub = events.Events()
    assert not hub.wanted("p")
    hub.emit("a", object(), "p")
    with hub.listen("p"):
        assert hub.wanted("p")
        assert not hub.wanted("q")
    assert not hub.wanted("p")
    assert not hub.wanted(None)


def test_what_is_no_json_is_logged_and_told_to_nobody(caplog: pytest.LogCaptureFixture) -> None:
    hub = events.Events()
    listener = hub.listen()
    for event in (object(), {"x": float("nan")}):
        hub.emit("odd.one", event)
    assert actions(listener) == []
    assert caplog.text.count("the event odd.one is not told") == 2


def test_events_come_in_order_and_what_came_before_the_end_is_still_read(run: Callable[[Any], Any]) -> None:
    async def main() -> None:
        hub = events.Events()
        listener = hub.listen("p")
        reading = asyncio.create_task(_read(listener))
        await asyncio.sleep(0)
        for number in range(3):
            hub.emit(str(number), {"n": number}, "p")
        hub.end("p")
        hub.emit("late", {}, "p")
        assert await reading == [Event(str(n), {"n": n}, "p", f'{{"n": {n}}}') for n in range(3)]
        assert listener.over
        assert await listener.within(None) is None

    run(main())


async def _read(subscription: events.Subscription) -> list[Event]:
    return [event async for event in subscription]


def test_who_waits_is_told_that_it_was_quiet_or_that_it_is_over(run: Callable[[Any], Any]) -> None:
    async def main() -> None:
        hub = events.Events()
        listener = hub.listen()
        assert await listener.within(0.01) is None
        assert not listener.over
        waiting = asyncio.create_task(listener.within(None))
        await asyncio.sleep(0)
        hub.close()
        assert await waiting is None
        assert listener.over
        assert hub.listen().over, "there will be no more events"

    run(main())


def test_a_listener_that_lags_too_far_behind_is_dropped_and_the_others_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(events, "LAG", 100)
    hub = events.Events()
    slow, quick = hub.listen(), hub.listen()
    for number in range(10):
        hub.emit(str(number), "x" * 40)
        assert actions(quick) == [str(number)]
        assert asyncio.run(_next(quick)) == str(number)
    assert (slow.lagged, slow.over, actions(slow)) == (True, True, [])
    assert (quick.lagged, quick.over) == (False, False)


async def _next(subscription: events.Subscription) -> str:
    event = await subscription.within(None)
    assert event
    return event.action


def test_an_event_of_any_size_reaches_who_is_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "LAG", 100)
    hub = events.Events()
    listener = hub.listen()
    hub.emit("big", "x" * 1000)
    assert actions(listener) == ["big"]
