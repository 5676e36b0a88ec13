"""The floor: a bare Starlette under the same uvicorn that answers the same routes with constants and does nothing."""

import socket
import sys
from collections.abc import Awaitable, Callable

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bench.servers import announce

UUID = "00010203-0405-0607-0809-0a0b0c0d0e0f"
VERSION = b'{\n    "local": false,\n    "version": "1.3.dev1"\n}'
PORT = b'{\n    "udp_port": 14001\n}'
NIO = b'{\n    "lport": 14001,\n    "rhost": "127.0.0.1",\n    "rport": 14002,\n    "type": "nio_udp"\n}'
VM = f"""{{
    "command_line": "",
    "console": 12000,
    "name": "PC",
    "project_id": "{UUID}",
    "startup_script": null,
    "startup_script_path": null,
    "status": "stopped",
    "vm_directory": "/tmp/labplane-bench/{UUID}/project-files/vpcs/{UUID}",
    "vm_id": "{UUID}"
}}""".encode()

VMS = f"/v1/projects/{UUID}/vpcs/vms"
NIO_PATH = f"{VMS}/{UUID}/adapters/0/ports/0/nio"


def constant(content: bytes, status: int = 200) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(_: Request) -> Response:
        return Response(content, status, media_type="application/json")

    return endpoint


def make_app() -> Starlette:
    vms = "/v1/projects/{project_id}/vpcs/vms"
    nio = vms + "/{vm_id}/adapters/{adapter:int}/ports/{port:int}/nio"
    return Starlette(
        routes=[
            Route("/v1/version", constant(VERSION), methods=["GET"]),
            Route("/v1/ports/udp", constant(PORT, 201), methods=["POST"]),
            Route(vms, constant(VM, 201), methods=["POST"]),
            Route(nio, constant(NIO, 201), methods=["POST"]),
        ]
    )


def main() -> None:
    config = uvicorn.Config(make_app(), log_config=None, access_log=False)
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    print(announce(listener.getsockname()[1]), file=sys.stderr, flush=True)
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
