"""The log of an emulator: starts anew, stays within bounds, and a full disk is nobody's problem."""

from pathlib import Path

from labplane.emulators.logfile import LIMIT, LogFile


def test_each_start_begins_an_empty_log(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    for text in (b"first run\n", b"second\n"):
        log = LogFile(tmp_path, path.name)
        log.write(text)
        log.write(text)
        assert path.read_bytes() == 2 * text, "written at once"
        log.close()


def test_the_log_keeps_the_latest_and_never_more_than_a_mebibyte(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    log = LogFile(tmp_path, path.name)
    written = b""
    for number in range(400):
        piece = b"%08d" % number * 1000
        written += piece
        log.write(piece)
        kept = path.with_name("a.log.1").read_bytes() if path.with_name("a.log.1").exists() else b""
        kept += path.read_bytes()
        assert len(kept) <= LIMIT
        assert written.endswith(kept)
        assert len(kept) == len(written) or len(kept) >= LIMIT // 2 - len(piece)
    log.close()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.log", "a.log.1"]


def test_what_is_written_after_the_end_is_dropped(tmp_path: Path) -> None:
    log = LogFile(tmp_path, "a.log")
    log.close()
    log.write(b"late")
    log.close()
    assert (tmp_path / "a.log").read_bytes() == b""


def test_a_full_disk_ends_the_log_and_nothing_else() -> None:
    complaints: list[str] = []
    log = LogFile(Path("/dev"), "full", complaints.append)
    log.write(b"lost")
    log.write(b"lost too")
    log.close()
    assert complaints == ["/dev/full is not continued: No space left on device"]


def test_a_directory_that_was_removed_ends_the_log_and_nothing_else(tmp_path: Path) -> None:
    complaints: list[str] = []
    (tmp_path / "vm").mkdir()
    log = LogFile(tmp_path / "vm", "a.log", complaints.append)
    (tmp_path / "vm" / "a.log").unlink()
    (tmp_path / "vm").rmdir()
    log.write(b"x" * LIMIT)
    log.write(b"x" * LIMIT)
    log.close()
    assert len(complaints) == 1
    assert "is not continued: No such file or directory" in complaints[0]
    assert not (tmp_path / "vm").exists()
