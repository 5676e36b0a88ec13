"""The far end of a link: it asks by ARP (RFC 826) who has an address, and hears who answers."""

import select
import socket
import time
from contextlib import suppress
from ipaddress import IPv4Address

HERE = "127.0.0.1"
MAC = bytes.fromhex("02000000fa4e")
BROADCAST = b"\xff" * 6
ARP, ETHERNET, IPV4 = 0x0806, 1, 0x0800
REQUEST, REPLY = 1, 2
SHORTEST_FRAME = 60
ASK_EVERY = 0.2
LONGEST_FRAME = 65535


class FarEnd:
    """A UDP socket of this host, as the `rport` of a link; each datagram is an Ethernet frame.

    port: its number.
    """

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((HERE, 0))
        self._socket.setblocking(False)
        self.port: int = self._socket.getsockname()[1]

    def close(self) -> None:
        self._socket.close()

    def hears(self, address: str, lport: int, seconds: float) -> bool:
        """Whether somebody at the near end `lport` says within that time that it has `address`.

        An answer that comes from another port than `lport` is none.
        """
        self._forget()
        end, ask_at = time.monotonic() + seconds, 0.0
        while (now := time.monotonic()) < end:
            if now >= ask_at:
                self._ask(address, lport)
                ask_at = now + ASK_EVERY
            ready, _, _ = select.select([self._socket], [], [], min(end, ask_at) - now if ask_at < end else end - now)
            if ready and self._answered(address, lport):
                return True
        return False

    def _ask(self, address: str, lport: int) -> None:
        asker = IPv4Address(address) + (1 if IPv4Address(address).packed[-1] < 250 else -1)
        frame = BROADCAST + MAC + ARP.to_bytes(2) + _arp(REQUEST, MAC, asker, b"\0" * 6, IPv4Address(address))
        with suppress(ConnectionRefusedError):  # of the frame before: nobody has that port yet
            self._socket.sendto(frame.ljust(SHORTEST_FRAME, b"\0"), (HERE, lport))

    def _answered(self, address: str, lport: int) -> bool:
        try:
            frame, (_, port) = self._socket.recvfrom(LONGEST_FRAME)
        except (BlockingIOError, ConnectionRefusedError):
            return False
        head, arp = frame[:14], frame[14:42]
        return (
            port == lport
            and head[12:14] == ARP.to_bytes(2)
            and arp[6:8] == REPLY.to_bytes(2)
            and arp[14:18] == IPv4Address(address).packed
            and arp[18:24] == MAC
        )

    def _forget(self) -> None:
        while True:
            try:
                self._socket.recv(LONGEST_FRAME)
            except BlockingIOError:
                return
            except ConnectionRefusedError:
                continue


def _arp(operation: int, sender: bytes, sender_ip: IPv4Address, target: bytes, target_ip: IPv4Address) -> bytes:
    kinds = ETHERNET.to_bytes(2) + IPV4.to_bytes(2) + bytes([6, 4]) + operation.to_bytes(2)
    return kinds + sender + sender_ip.packed + target + target_ip.packed
