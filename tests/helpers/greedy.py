"""What a server spends on its clients."""

import re
from pathlib import Path

from support import Server


def resident(server: Server) -> int:
    """The bytes of memory that the server's process has now."""
    found = re.search(r"^VmRSS:\s+(\d+) kB$", Path(f"/proc/{server.process.pid}/status").read_text(), re.MULTILINE)
    assert found
    return int(found[1]) * 1024


def open_files(server: Server) -> int:
    """How many descriptors the server's process has open."""
    return len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))
