"""``python -m labplane_linux_node CONFIG``: a node or a gateway, until SIGTERM. The driver is told what goes wrong."""

import json
import os
import signal
import sys

from labplane_linux_node import gateway, host, kernel, line
from labplane_linux_node.pump import Pump


def main() -> int:
    with open(sys.argv[1], encoding="utf-8") as file:
        config = json.load(file)
    os.unlink(sys.argv[1])
    listener = line.listen()
    control = None
    while control is None:
        control = line.accept(listener)
    try:
        if "network" in config:
            pid, cards = gateway.make(config)
        else:
            pid, cards = host.make(config, [listener, control])
    except (OSError, kernel.Failed) as error:
        control.send(json.dumps({"error": str(error)}).encode())
        return 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        Pump(listener, control, cards, pid).run()
    finally:
        line.forget()
        os.kill(pid, signal.SIGTERM)
        _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status) & 0xFF


if __name__ == "__main__":
    sys.exit(main())
