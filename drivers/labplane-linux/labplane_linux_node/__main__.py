"""``python -m labplane_linux_node CONFIG``: one node, until SIGTERM. The driver is told what goes wrong."""

import fcntl
import json
import os
import signal
import socket
import sys
import termios
from pathlib import Path

from labplane_linux_node import host, kernel, node
from labplane_linux_node.pump import Pump

SOCKET = "control"


def main() -> int:
    path = Path(sys.argv[1])
    config = json.loads(path.read_text(encoding="utf-8"))
    path.unlink()
    control = _connected()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    fcntl.ioctl(0, termios.TIOCNOTTY)  # the terminal is for the node's shell, which leads a session of its own
    try:
        pid, taps = host.make(config, [control], lambda up: node.run(config, up))
    except (OSError, kernel.Failed) as error:
        control.send(json.dumps({"error": str(error)}).encode())
        return 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        control.send(json.dumps({"ready": True}).encode())
        return Pump(control, taps, pid).run()
    finally:
        os.kill(pid, signal.SIGTERM)
        os.waitpid(pid, 0)


def _connected() -> socket.socket:
    """The driver, once it has connected to the socket in the working directory; the only one who can."""
    Path(SOCKET).unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(SOCKET)
        listener.listen(1)
        control, _ = listener.accept()
    Path(SOCKET).unlink()
    return control


if __name__ == "__main__":
    sys.exit(main())
