"""labplane as it was before it had guards: no check of names, origins and tokens, no limits, X-Forwarded-* believed."""

import socket
import sys

import uvicorn

from bench.servers import CONSOLES, UDP, announce
from labplane.kernel import Kernel
from labplane.plugins.loading import installed
from labplane.server.app import make_app
from labplane.settings import Settings


def main() -> None:
    lab = Kernel(Settings(projects_dir=sys.argv[1], console_ports=CONSOLES, udp_ports=UDP), installed())
    app = make_app(lab)
    app.user_middleware.clear()
    config = uvicorn.Config(app, log_config=None, access_log=False)
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    print(announce(listener.getsockname()[1]), file=sys.stderr, flush=True)
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
