"""The load of the host, which each ping of a stream reports."""

import time

import psutil

FRESH_SECONDS = 0.5


class Load:
    """Use of processor and memory in percent. The processor's is measured since the last measurement, so two calls
    within `FRESH_SECONDS` give the same.
    """

    def __init__(self) -> None:
        self._at = 0.0
        self._shown: dict[str, float] = {}

    def begin(self) -> None:
        """Make the first measurement, on the thread of the later ones: psutil keeps the last one of each thread."""
        psutil.cpu_percent()

    def shown(self) -> dict[str, float]:
        """``{"cpu_usage_percent": 12.5, "memory_usage_percent": 40.1}``"""
        now = time.monotonic()
        if not self._shown or now > self._at + FRESH_SECONDS:
            self._at = now
            self._shown = {
                "cpu_usage_percent": psutil.cpu_percent(),
                "memory_usage_percent": psutil.virtual_memory().percent,
            }
        return self._shown
