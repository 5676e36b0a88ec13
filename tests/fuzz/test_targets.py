"""The targets of `./run fuzz` hold for damaged examples of what they take; and they can fail."""

import io
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

import targets
from labplane import BadRequest
from targets import SEEDS, TARGETS

changes = st.lists(st.tuples(st.integers(0, 1 << 16), st.binary(min_size=1, max_size=4)), max_size=4)


def changed(data: bytes, where: list[tuple[int, bytes]]) -> bytes:
    for at, other in where:
        at %= len(data) + 1
        data = data[:at] + other + data[at + len(other) :]
    return data


@pytest.mark.parametrize("name", TARGETS)
def test_each_seed_is_fine(name: str) -> None:
    for seed in SEEDS[name]:
        TARGETS[name](seed)


@given(st.sampled_from(SEEDS["archive"]), changes)
def test_damaged_archives_are_refused_or_stay_inside(seed: bytes, where: list[tuple[int, bytes]]) -> None:
    """F-10, F-11."""
    targets.unpacking(changed(seed, where))


@given(st.sampled_from(SEEDS["telnet"]), changes)
def test_damaged_telnet_means_the_same_in_any_pieces(seed: bytes, where: list[tuple[int, bytes]]) -> None:
    targets.telnet(changed(seed, where))


def test_a_parser_that_takes_what_is_none_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "parse", lambda _: float("nan"))
    with pytest.raises(AssertionError):
        targets.json_front(b"NaN")


def test_one_that_refuses_what_is_fine_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: bytes) -> None:
        raise BadRequest("The body is not to my taste.")

    monkeypatch.setattr(targets, "parse", refuse)
    with pytest.raises(AssertionError, match="nothing was wrong"):
        targets.json_front(b"{}")


def test_an_unpacking_that_leaves_its_directory_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    class Careless:
        def __init__(self, _file: io.BytesIO, _limits: object, _makes_lab: object) -> None:
            pass

        def unpack(self, root: Path) -> list[None]:
            (root.parent / "x").write_text("out")
            return []

    monkeypatch.setattr(targets, "Archive", Careless)
    with pytest.raises(AssertionError):
        targets.unpacking(b"")
