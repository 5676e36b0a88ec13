"""The journal of a lab: one transaction a turn; what fails is told and changes nothing; notes are tried again."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest

from labplane.errors import Busy, Conflict, LabError, StorageFull
from labplane.state.database import APPLICATION, MIGRATIONS, VERSION
from labplane.state.state import State
from labplane.state.store import Store, Values, together

PUT = "INSERT INTO value (plugin, project_id, key, position, value) VALUES ('test', '', ?, 1, '1')"
BOTH = pytest.mark.parametrize("durability", ["normal", "full"])

Run = Callable[[Awaitable[None]], None]


@asynccontextmanager
async def opened(tmp_path: Path, durability: Any = "normal") -> AsyncIterator[State]:
    state = State(lambda: tmp_path, durability)
    await state.open()
    try:
        yield state
    finally:
        await state.close()


def rows(tmp_path: Path, sql: str = "SELECT key FROM value ORDER BY key") -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(tmp_path / ".labplane" / "state.db")) as connection:
        return connection.execute(sql).fetchall()


def transactions(state: State) -> list[str]:
    """The transactions that are made from now on, by their first words."""
    seen: list[str] = []
    assert state._writing is not None
    state._writing.set_trace_callback(lambda sql: seen.append(sql) if sql.startswith(("BEGIN", "COMMIT")) else None)
    return seen


@BOTH
def test_what_is_written_in_one_turn_is_one_transaction(tmp_path: Path, durability: str, run: Run) -> None:
    async def main() -> None:
        async with opened(tmp_path, durability) as state:

            async def write(key: str) -> None:
                state.note("n", (PUT, ("noted",)))
                await state.write([(PUT, (key,))])

            seen = transactions(state)
            await asyncio.gather(*(write(f"{number:02}") for number in range(50)))
            assert seen == ["BEGIN IMMEDIATE", "COMMIT"]
            assert len(rows(tmp_path)) == 51

    run(main())


@BOTH
def test_what_breaks_a_constraint_fails_alone(tmp_path: Path, durability: str, run: Run) -> None:
    async def main() -> None:
        async with opened(tmp_path, durability) as state:
            await state.write([(PUT, ("b",))])
            twice = [(PUT, ("x",)), (PUT, ("b",))]
            done = await asyncio.gather(
                *(state.write(batch) for batch in ([(PUT, ("a",))], twice, [(PUT, ("c",))])), return_exceptions=True
            )
            assert [type(one) for one in done] == [list, Conflict, list]
            assert rows(tmp_path) == [("a",), ("b",), ("c",)]
            assert state.trouble is None

    run(main())


@BOTH
def test_a_full_disk_refuses_what_is_awaited_and_notes_come_later(
    tmp_path: Path, durability: str, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    """The limit of pages is SQLite's own full disk."""

    async def main() -> None:
        async with opened(tmp_path, durability) as state:
            assert state._writing is not None
            (pages,) = state._writing.execute("PRAGMA page_count").fetchone()
            state._writing.execute(f"PRAGMA max_page_count = {pages}")
            state.note("n", (PUT, ("noted",)))
            with pytest.raises(StorageFull, match=r"There is no space left on the disk at .*state\.db"):
                await state.write([(PUT, ("x" * 100_000,))])
            assert isinstance(state.trouble, StorageFull)
            assert rows(tmp_path) == []
            state._writing.execute("PRAGMA max_page_count = 100000")
            await state.write([(PUT, ("after",))])
            assert rows(tmp_path) == [("after",), ("noted",)]
            assert state.trouble is None
        assert "the state of the lab cannot be written" in caplog.text
        assert "can be written again" in caplog.text

    run(main())


def test_notes_are_tried_again_without_being_asked(tmp_path: Path, run: Run) -> None:
    async def main() -> None:
        async with opened(tmp_path) as state:
            with closing(sqlite3.connect(tmp_path / ".labplane" / "state.db", isolation_level=None)) as stranger:
                stranger.execute("BEGIN IMMEDIATE")
                with pytest.raises(Busy, match="Another program holds"):
                    await state.write([(PUT, ("refused",))])
                state.note("n", (PUT, ("noted",)))
                stranger.execute("COMMIT")
                while rows(tmp_path) != [("noted",)]:
                    await asyncio.sleep(0.01)

    run(main())


def test_a_later_note_takes_the_place_of_an_earlier_one(tmp_path: Path, run: Run) -> None:
    async def main() -> None:
        async with opened(tmp_path) as state:
            state.note("n", (PUT, ("early",)))
            state.note("n", (PUT, ("late",)))
            await state.write()
            assert rows(tmp_path) == [("late",)]

    run(main())


def test_a_bug_in_a_write_is_told_to_who_waits_and_harms_no_later_one(tmp_path: Path, run: Run) -> None:
    async def main() -> None:
        async with opened(tmp_path) as state:
            with pytest.raises(LabError):
                await state.write([(PUT, (object(),))])
            await state.write([(PUT, ("a",))])
            assert rows(tmp_path) == [("a",)]

    run(main())


def test_nothing_is_kept_before_it_is_opened(tmp_path: Path, run: Run) -> None:
    async def main() -> None:
        state = State(lambda: tmp_path, "normal")
        state.note("n", (PUT, ("noted",)))
        assert await state.write([(PUT, ("a",))]) == []
        assert list(tmp_path.iterdir()) == []

    run(main())


@BOTH
def test_values_of_a_plugin_are_there_again(tmp_path: Path, durability: str, run: Run) -> None:
    async def main() -> None:
        async with opened(tmp_path, durability) as state:
            store = Store(Values(state), "mine")
            await store.put("b", {"x": [1, None, "ä"]})
            await store.put("a", 1)
            await store.add("c", 2)
            with pytest.raises(Conflict):
                await store.add("c", 3)
            store.put_later("d", 4)
            await store.put("b", "other")
            await store.put("a", None)
            await store.of("p").put("a", "the project's")
            assert store.items() == [("b", "other"), ("c", 2), ("d", 4)]
        async with opened(tmp_path, durability) as state:
            values = Values(state)
            await values.load()
            assert Store(values, "mine").items() == [("b", "other"), ("c", 2), ("d", 4)]
            assert Store(values, "other").items() == []
            mine = Store(values, "mine").of("p")
            assert mine.get("a", "not loaded") == "not loaded"
            await values.load("p")
            assert mine.get("a") == "the project's"
            values.unload("p")
            assert mine.items() == []

    run(main())


def test_values_that_are_no_json_are_refused(tmp_path: Path, run: Run) -> None:
    async def main() -> None:
        async with opened(tmp_path) as state:
            store = Store(Values(state), "mine")
            for value in (object(), float("nan"), {1, 2}):
                with pytest.raises((TypeError, ValueError)):
                    await store.put("a", value)
            assert store.items() == []

    run(main())


def test_values_that_are_put_together_are_written_by_the_one_who_asked_for_that(tmp_path: Path, run: Run) -> None:
    async def main() -> None:
        async with opened(tmp_path) as state:
            values = Values(state)
            store = Store(values, "mine")
            for kept in (False, True):
                with together() as collected:
                    await store.put("a", 1, vm_id="v")
                assert store.items() == rows(tmp_path) == values.keys_of_vm("", "v") == [], (
                    "nothing is left of a refusal"
                )
                if kept:
                    await state.write(collected.statements)
                    collected.written()
            assert store.items() == [("a", 1)]
            assert rows(tmp_path) == [("a",)]
            values.drop("", "v")
            assert store.items() == []

    run(main())


def test_a_vm_s_values_are_those_alone_that_are_its_own_now(tmp_path: Path, run: Run) -> None:
    async def main() -> None:
        async with opened(tmp_path) as state:
            values = Values(state)
            mine, others = (Store(values, plugin).of("p") for plugin in ("mine", "others"))
            await mine.put("shared", 1, vm_id="v")
            await mine.put("own", 2, vm_id="v")
            await others.put("x", 3, vm_id="v")
            await mine.put("shared", None)
            await mine.put("shared", 4, vm_id="w")
            assert (mine.of_vm("v"), mine.of_vm("w"), others.of_vm("v")) == ({"own": 2}, {"shared": 4}, {"x": 3})
            assert mine.of_vm("unknown") == Store(values, "mine").of_vm("v") == {}
            known = [("mine", "shared"), ("mine", "own"), ("others", "x")]
            assert values.keys_of_vm("p", "v") == known
            putting = asyncio.ensure_future(mine.put("late", 5, vm_id="v"))
            await asyncio.sleep(0)
            assert values.keys_of_vm("p", "v") == [*known, ("mine", "late")], (
                "to be deleted, too, if the VM is just now"
            )
            await putting
            values.drop("p", "v")
            assert (mine.items(), others.items(), mine.of_vm("v")) == ([("shared", 4)], [], {})
            await values.load("p")
            assert mine.of_vm("w") == {"shared": 4}

    run(main())


def test_the_log_of_the_database_is_worked_off(tmp_path: Path, run: Run) -> None:
    async def main() -> None:
        async with opened(tmp_path) as state:
            await state.write([(PUT, ("a",))])
            while b"test" not in (tmp_path / ".labplane" / "state.db").read_bytes():
                await asyncio.sleep(0.01)

    run(main())


def damaged(tmp_path: Path) -> None:
    file = tmp_path / ".labplane" / "state.db"
    data = bytearray(file.read_bytes())
    data[4096:] = b"\xa5" * (len(data) - 4096)
    file.write_bytes(data)


def newer(tmp_path: Path) -> None:
    rows(tmp_path, f"PRAGMA user_version = {VERSION + 1}")


def foreign(tmp_path: Path) -> None:
    rows(tmp_path, "PRAGMA application_id = 7")


def no_database(tmp_path: Path) -> None:
    (tmp_path / ".labplane" / "state.db").write_text("something else entirely" * 100)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (damaged, r"state\.db is damaged: .* Put a backup of it in its place"),
        (newer, f"written by a newer labplane: its schema is number {VERSION + 1}, and this one knows up to {VERSION}"),
        (foreign, "is no database of labplane; move it away"),
        (no_database, r"state\.db is damaged: file is not a database"),
    ],
)
def test_a_database_that_cannot_be_trusted_is_refused_and_left_alone(
    tmp_path: Path, change: Callable[[Path], None], said: str, run: Run
) -> None:
    async def main() -> None:
        async with opened(tmp_path) as state:
            await state.write([(PUT, ("a" * 10_000,))])
        change(tmp_path)
        before = (tmp_path / ".labplane" / "state.db").read_bytes()
        for _ in range(2):
            with pytest.raises(Conflict, match=said):
                async with opened(tmp_path):
                    pass
        assert (tmp_path / ".labplane" / "state.db").read_bytes() == before

    run(main())


def test_a_database_of_an_older_version_is_copied_and_brought_up_to_date(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with opened(tmp_path) as state:
            await state.write([(PUT, ("a",))])
        further = (*MIGRATIONS, "ALTER TABLE vm ADD COLUMN colour TEXT;")
        monkeypatch.setattr("labplane.state.database.MIGRATIONS", further)
        monkeypatch.setattr("labplane.state.database.VERSION", len(further))
        async with opened(tmp_path) as state:
            assert await state.write([("SELECT key, (SELECT count(colour) FROM vm) FROM value", ())]) == [("a", 0)]
        assert rows(tmp_path, "PRAGMA user_version") == [(len(further),)]
        assert rows(tmp_path, "PRAGMA application_id") == [(APPLICATION,)]
        copy = tmp_path / ".labplane" / f"state.db.v{VERSION}"
        assert copy.stat().st_mode & 0o777 == 0o600
        with closing(sqlite3.connect(copy)) as connection:
            assert connection.execute("SELECT key FROM value").fetchall() == [("a",)]
            assert connection.execute("PRAGMA user_version").fetchone() == (VERSION,)

    run(main())


def test_what_was_kept_by_tables_with_rowids_is_all_there_in_its_order(tmp_path: Path, run: Run) -> None:
    """Schema 2, and what is added to it later."""
    (tmp_path / ".labplane").mkdir()
    vm = "INSERT INTO vm VALUES (?, ?, 'p', 'vpcs', 'PC', '{\"a\": 1}', ?, '[]', 'started', 7, NULL, '{}')"
    with closing(sqlite3.connect(tmp_path / ".labplane" / "state.db")) as old, old:
        old.executescript("".join(MIGRATIONS[:2]) + f"PRAGMA application_id = {APPLICATION}; PRAGMA user_version = 2")
        old.executemany(vm, [(3, "b", 2001), (9, "a", None)])
        old.executemany("INSERT INTO port (pool, number, vm_id) VALUES ('udp', ?, ?)", [(2, "b"), (1, None)])
        old.executemany(
            "INSERT INTO value VALUES (?, 'test', '', ?, ?, ?)", [(12, "x", '"one"', "b"), (20, "f", "2", None)]
        )

    async def main() -> None:
        async with opened(tmp_path) as state:
            values = Values(state)
            await values.load()
            store = Store(values, "test")
            await store.put("x", "three", vm_id="a")
            await store.add("e", 4)
        async with opened(tmp_path) as state:
            values = Values(state)
            await values.load()
            store = Store(values, "test")
            assert store.items() == [("x", "three"), ("f", 2), ("e", 4)]
            assert store.of_vm("a") == {"x": "three"}
            assert state.next_position() == 23

    run(main())
    named = "SELECT vm_id, position, project_id, kind, name, settings, console, nios, wanted, generation, ports FROM vm"
    rest = ("p", "vpcs", "PC", '{"a": 1}')
    assert rows(tmp_path, f"{named} ORDER BY position") == [
        ("b", 3, *rest, 2001, "[]", "started", 7, "{}"),
        ("a", 9, *rest, None, "[]", "started", 7, "{}"),
    ]
    assert rows(tmp_path, "SELECT number, vm_id FROM port ORDER BY number") == [(1, None), (2, "b")]


def test_a_migration_that_fails_leaves_the_database_as_it_was(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with opened(tmp_path) as state:
            await state.write([(PUT, ("a",))])
        monkeypatch.setattr("labplane.state.database.MIGRATIONS", (*MIGRATIONS, "DROP TABLE deleted; DROP TABLE none;"))
        monkeypatch.setattr("labplane.state.database.VERSION", VERSION + 1)
        with pytest.raises(sqlite3.OperationalError):
            async with opened(tmp_path):
                pass
        assert rows(tmp_path, "PRAGMA user_version") == [(VERSION,)]
        assert rows(tmp_path, "SELECT * FROM deleted") == []

    run(main())
