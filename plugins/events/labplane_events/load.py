"""How busy the host is, as the ping of a stream says it."""

import time

import psutil

FRESH_SECONDS = 0.5


class Load:
    """Processor and memory in percent. The processor's share is that since the last look, so looks too near to each
    other say the same.
    """

    def __init__(self) -> None:
        self._at = 0.0
        self._shown: dict[str, float] = {}

    def begin(self) -> None:
        """Take the first look, on the thread that takes the others; by itself it says nothing."""
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
