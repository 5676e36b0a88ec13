"""What a server spends on its clients."""

import re
from pathlib import Path

import psutil

from support import Server


def resident(server: Server) -> int:
    """The bytes of memory that the server's process has now."""
    found = re.search(r"^VmRSS:\s+(\d+) kB$", Path(f"/proc/{server.process.pid}/status").read_text(), re.MULTILINE)
    assert found
    return int(found[1]) * 1024


def connections(server: Server) -> int:
    """How many TCP sockets the server's process has open, those that listen included."""
    return len(psutil.Process(server.process.pid).net_connections("tcp"))
