"""The machine of a responder. It is a module of its own, so that the engine need not import labplane."""

import os
import socket
from typing import Any

from labplane_engine import World

MAC = b"\x02responder"[:6]
ARP_REQUEST = b"\x08\x06\0\1\x08\0\6\4\0\1"


class Responder:
    def __init__(self, world: World, settings: dict[str, Any], descriptors: list[int]) -> None:
        directory, *ends = descriptors
        os.close(directory)
        self.world = world
        self.address = socket.inet_aton(settings["address"])
        self.ends = [world.end(end, self.received) for end in ends]
        world.printed(f"I answer for {settings['address']}.\r\n".encode())

    def received(self, frame: bytes) -> None:
        if frame[12:22] == ARP_REQUEST and frame[38:42] == self.address:
            asker = frame[22:32]
            reply = asker[:6] + MAC + ARP_REQUEST[:-1] + b"\2" + MAC + self.address + asker
            for end in self.ends:
                end.send(reply)
            self.world.printed(f"{socket.inet_ntoa(asker[6:])} has asked.\r\n".encode())

    def typed(self, data: bytes) -> None:
        self.world.printed(data)
        if b"q" in data:
            self.world.soon(lambda: self.world.ended(0))

    def close(self) -> None:
        pass
