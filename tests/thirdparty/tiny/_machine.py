"""A tiny emulator: a host that answers ARP at two cards, with the addresses that its image has, and with a monitor."""

import selectors
import socket
import sys
from ipaddress import IPv4Address
from pathlib import Path

monitor = socket.socket(fileno=3)
addresses = [IPv4Address(line).packed for line in Path(sys.argv[1]).read_text().split()]
cards: dict[int, socket.socket] = {}
running = True
events = selectors.DefaultSelector()
events.register(monitor, selectors.EVENT_READ)
print("tiny is up", flush=True)


def unlink(card: int) -> None:
    if (end := cards.pop(card, None)) is not None:
        events.unregister(end)
        end.close()


def obey() -> None:
    global running
    words, descriptors, _, _ = socket.recv_fds(monitor, 100, 1)
    if not words:
        sys.exit()
    action, card = words.decode().split()
    if action in ("link", "unlink"):
        unlink(int(card))
    if action == "link":
        cards[int(card)] = end = socket.socket(fileno=descriptors[0])
        events.register(end, selectors.EVENT_READ, int(card))
    running = {"suspend": False, "resume": True}.get(action, running)
    monitor.sendall(b"done")


def answer(card: int, end: socket.socket) -> None:
    try:
        frame = end.recv(65535)
        mac = bytes([2, 0, 0, 0, 0, card])
        if running and frame[12:14] == b"\x08\x06" and frame[38:42] == addresses[card]:
            end.send(frame[6:12] + mac + frame[12:20] + b"\0\2" + mac + addresses[card] + frame[22:32])
    except ConnectionRefusedError:
        pass  # nobody is at the far end yet


while True:
    for key, _ in events.select():
        if key.data is None:
            obey()
        elif (end := cards.get(key.data)) is not None:
            answer(key.data, end)
