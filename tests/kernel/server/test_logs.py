"""The two forms of the log's lines."""

import contextvars
import io
import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from labplane.server import logs, set_up_logging


@contextmanager
def bare() -> Iterator[None]:
    """The root logger is meanwhile as a fresh process has it, without pytest's handlers."""
    loggers = [logging.getLogger(name) for name in (None, "labplane", "uvicorn.error", "uvicorn.access")]
    levels = [logger.level for logger in loggers]
    root = loggers[0]
    before, root.handlers = root.handlers, []
    try:
        yield
    finally:
        for handler in root.handlers:
            handler.close()
        root.handlers = before
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def record(**more: object) -> logging.LogRecord:
    made = logging.LogRecord("labplane", logging.INFO, __file__, 1, "PC %s", ("ü\n",), None)
    vars(made).update(more)
    return made


def for_client(address: str, formatter: logging.Formatter, made: logging.LogRecord) -> str:
    def told() -> str:
        logs.client.set(address)
        return formatter.format(made)

    return contextvars.copy_context().run(told)


def test_a_line_of_text_ends_with_the_client() -> None:
    assert for_client("::1", logs.TextLines(), record()).endswith(" INFO labplane: PC ü\n [::1]")
    assert logs.TextLines().format(record()).endswith(" INFO labplane: PC ü\n")


def test_a_json_line_is_one_line_with_all_that_is_known() -> None:
    try:
        raise OSError(28, "full")
    except OSError:
        failure = record(exc_info=sys.exc_info(), fields={"seconds": 0.25, "path": Path("/srv")})
    line = for_client("127.0.0.1", logs.JSONLines(), failure)
    assert "\n" not in line
    told = json.loads(line)
    assert told["exception"].endswith("OSError: [Errno 28] full")
    assert told["time"].endswith("+00:00")
    assert {name: told[name] for name in ("level", "logger", "message", "client", "seconds", "path")} == {
        "level": "INFO",
        "logger": "labplane",
        "message": "PC ü\n",
        "client": "127.0.0.1",
        "seconds": 0.25,
        "path": "/srv",
    }
    assert json.loads(logs.JSONLines().format(record()))["client"] is None


def test_the_form_can_be_chosen_after_the_file(tmp_path: Path) -> None:
    """As labplane-server does: it logs while it reads the settings that say the form."""
    file = tmp_path / "log"
    with bare():
        set_up_logging("info", file)
        logging.getLogger("labplane").info("one")
        set_up_logging("info", form="json")
        logging.getLogger("labplane").info("two")
    one, two = file.read_text().splitlines()
    assert one.endswith("INFO labplane: one")
    assert json.loads(two)["message"] == "two"


def test_a_program_that_embeds_labplane_keeps_its_own_log() -> None:
    own, stream = logging.Formatter("own %(message)s"), io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(own)
    with bare():
        logging.getLogger().addHandler(handler)
        set_up_logging("info", form="json")
        logging.getLogger("labplane").info("line")
    assert stream.getvalue() == "own line\n"
