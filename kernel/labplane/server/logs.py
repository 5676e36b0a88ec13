"""The log: its two forms, lines of text and JSON objects, and the client on whose behalf a line is written."""

import json
import logging
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

client: ContextVar[str | None] = ContextVar("client", default=None)
"""The address of the client whose request is being served; what the request starts has it too."""


class TextLines(logging.Formatter):
    """A line of text for each record; the client stands at its end."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        line, asker = super().formatMessage(record), client.get()
        return line if asker is None else f"{line} [{asker}]"


class JSONLines(logging.Formatter):
    """A JSON object on a line for each record: time, level, logger, message, client, exception, its own `fields`."""

    def format(self, record: logging.LogRecord) -> str:
        told: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "client": client.get(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            told["exception"] = self.formatException(record.exc_info)
        return json.dumps(told, default=str)


FORMS: Mapping[str, type[TextLines] | type[JSONLines]] = {"text": TextLines, "json": JSONLines}


def set_up_logging(level: str, file: Path | None = None, form: str = "text") -> None:
    """Log to `file` or else to stderr; called again, it changes level and form and nothing else. May raise OSError.

    form: "text" or "json". A program that has set up logging by itself keeps its own.
    """
    root = logging.getLogger()
    if not root.handlers:
        fresh = logging.StreamHandler() if file is None else logging.FileHandler(file, encoding="utf-8")
        fresh.setFormatter(TextLines())
        root.addHandler(fresh)
    for handler in root.handlers:
        if isinstance(handler.formatter, tuple(FORMS.values())):
            handler.setFormatter(FORMS[form]())
    root.setLevel(logging.WARNING)
    logging.getLogger("labplane").setLevel(level.upper())
    # At its own debug level it logs the headers of WebSockets, and so the token.
    quieter = {"info": "WARNING", "debug": "INFO"}
    logging.getLogger("uvicorn.error").setLevel(quieter.get(level, level.upper()))
    logging.getLogger("uvicorn.access").setLevel(logging.INFO)
