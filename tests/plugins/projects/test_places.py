"""Which directories of projects overlap, against a look at each of them (P-3)."""

from pathlib import Path
from timeit import timeit

from hypothesis import given, strategies as st

from labplane_projects.places import Places

PARTS = st.lists(st.sampled_from(["a", "b", "ab"]), max_size=4)
PATHS = PARTS.map(lambda parts: Path("/", *parts))
PROJECTS = st.sampled_from(["one", "two", "three"])
STEPS = st.lists(st.tuples(PROJECTS, st.sets(PATHS, max_size=2)), max_size=30)


def overlap(one: Path, other: Path) -> bool:
    return one == other or one in other.parents or other in one.parents


@given(steps=STEPS, path=PATHS, asking=PROJECTS)
def test_an_overlap_is_found_when_and_only_when_there_is_one(
    steps: list[tuple[str, set[Path]]], path: Path, asking: str
) -> None:
    places, held = Places(), dict[str, set[Path]]()
    for project, paths in steps:
        others = [there for other, here in held.items() if other != project for there in here]
        if any(overlap(one, there) for one in paths for there in others):
            continue  # the plugin asks before it puts
        places.put(project, paths)
        held[project] = paths
    found = {other for other, here in held.items() if other != asking and any(overlap(path, one) for one in here)}
    other = places.other_at(path, asking)
    assert (other in found) if found else (other is None)


def test_nothing_remains_of_projects_that_are_gone() -> None:
    places = Places()
    for number in range(100):
        places.put(str(number), {Path(f"/projects/{number}"), Path(f"/projects/{number}/moved")})
        places.put(str(number), {Path(f"/elsewhere/{number}")})
        places.put(str(number), ())
    assert [len(table) for table in vars(places).values()] == [0, 0, 0]


def test_a_question_takes_as_long_among_ten_thousand_as_among_ten() -> None:
    def seconds(count: int) -> float:
        places = Places()
        for number in range(count):
            places.put(str(number), {Path(f"/projects/{number}")})
        new = Path("/projects/new")
        return min(timeit(lambda: places.other_at(new, "new"), number=200) for _ in range(5))

    assert seconds(10_000) < 3 * seconds(10)
