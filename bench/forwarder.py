"""The floor of a switch: two UDP sockets under uvloop, and what comes in at one goes out at the other, unseen."""

import asyncio
import socket
import sys

import uvloop

from bench.servers import announce


class Forwarder(asyncio.DatagramProtocol):
    """Passes what its endpoint hears on to `other`."""

    def __init__(self, other: socket.socket) -> None:
        self._other = other

    def datagram_received(self, data: bytes, addr: object) -> None:
        self._other.send(data)


async def main(near: tuple[int, int], far: tuple[int, int]) -> None:
    ends = []
    for here, there in zip(near, far, strict=True):
        end = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        end.setblocking(False)
        end.bind(("127.0.0.1", here))
        end.connect(("127.0.0.1", there))
        ends.append(end)
    loop = asyncio.get_running_loop()
    transports = [
        (await loop.create_datagram_endpoint(lambda other=other: Forwarder(other), sock=end))[0]  # type: ignore[misc]
        for end, other in zip(ends, reversed(ends), strict=True)
    ]
    print(announce(near[0]), file=sys.stderr, flush=True)
    await asyncio.Event().wait()
    del transports


if __name__ == "__main__":
    one, other, far_one, far_other = map(int, sys.argv[1:])
    uvloop.run(main((one, other), (far_one, far_other)))
