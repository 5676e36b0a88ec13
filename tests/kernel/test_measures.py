"""Measures: how often and how long, for each set of labels."""

from math import inf

from labplane.measures import BOUNDS, Measures


def test_each_set_of_labels_is_counted_by_itself() -> None:
    measures = Measures()
    for seconds in (0.5, 0.25, 100.0):
        measures.add("start", seconds, kind="one")
    measures.add("start", 0.0, kind="two")
    measures.add("stop", 0.0, kind="one")
    found = {(one.what, *one.labels.values()): one for one in measures}
    assert found.keys() == {("start", "one"), ("start", "two"), ("stop", "one")}
    assert found["start", "one"].seconds == 100.75
    assert found["start", "one"].buckets == [
        *((bound, 0) for bound in BOUNDS if bound < 0.25),
        (1.0, 2),
        (10.0, 2),
        (inf, 3),
    ]


def test_a_time_of_exactly_a_bound_is_within_it() -> None:
    measures = Measures()
    measures.add("start", 1.0)
    (one,) = measures
    assert dict(one.buckets)[1.0] == 1
    assert dict(one.buckets)[0.1] == 0
