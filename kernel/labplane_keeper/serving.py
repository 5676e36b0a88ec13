"""The clients of a keeper or an engine: who gets in, their requests, and when the last server left."""

import errno
import os
import socket
import struct
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

from labplane_keeper import OLDEST, PROTOCOL, SCHEMA
from labplane_keeper.clients import Client, Frame, failure
from labplane_keeper.runs import Run
from labplane_keeper.visiting import boot_id

Request = Callable[[Any, Client, Frame], dict[str, Any] | None]


class Clients(ABC):
    """The clients of one such program, and the runs that they ask for.

    name, version: as it calls itself.
    requests:      what they may ask for, by name.
    keeper:        the process whose descendants, emulators, are refused.
    runs:          by id, those too that have ended and nobody has forgotten.
    alone_since:   when the last server left, None while one is there.
    """

    listener: socket.socket

    def __init__(self, name: str, version: int, requests: Mapping[str, Request], keeper: int) -> None:
        self.instance = os.urandom(8).hex()
        self.boot = boot_id()
        self.clients: dict[int, Client] = {}
        self.runs: dict[str, Run] = {}
        self.alone_since: float | None = time.monotonic()
        self._name, self._version = name, version
        self._requests = requests
        self._keeper = keeper

    @abstractmethod
    def attend(self, client: Client) -> None:
        """Have `hear` called when it sends something."""

    @abstractmethod
    def attend_more(self, client: Client) -> None:
        """Have `pump` called when it takes more, if it `waits`, and no longer otherwise."""

    def dismiss(self, client: Client) -> None:
        """The opposite of `attend`, before its connection is closed."""

    def left_alone(self) -> None:
        """Do what is to be done when the last server has left."""

    @abstractmethod
    def quit(self, patience: float) -> None:
        """End all that runs, then the program."""

    def accept(self) -> None:
        try:
            end, _ = self.listener.accept()
        except OSError:
            return
        pid, uid, _ = struct.unpack("3i", end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        if uid not in (0, os.geteuid()) or is_below(pid, self._keeper):
            end.close()
            return
        end.setblocking(False)
        client = self.clients[end.fileno()] = Client(end)
        self.attend(client)
        numbers = {"protocol": PROTOCOL, "oldest": OLDEST, "version": self._version, "schema": SCHEMA}
        client.send({"hello": self._name, **numbers, "pid": os.getpid(), "instance": self.instance, "boot": self.boot})

    def hear(self, client: Client) -> bool:
        """Do what it asks for; False when it has nothing more to say."""
        try:
            there = client.receive()
            for frame in client.frames():
                self._answer(client, frame)
        except (OSError, ValueError, KeyError, TypeError) as error:
            print("a client is hung up:", repr(error), file=sys.stderr, flush=True)
            there = False
        if not there:
            self._hang_up(client)
        return there

    def _answer(self, client: Client, frame: Frame) -> None:
        message = frame[0]
        if client.role is None:
            if message["protocol"] < OLDEST:
                raise ValueError(f"it speaks the protocol {message['protocol']} at best")
            client.role = message["hello"]
            if client.role == "server":
                self.alone_since = None
            return
        try:
            request = self._requests.get(message["op"])
            if request is None:
                raise OSError(errno.ENOSYS, f"The {self._name} does not know {message['op']!r}.")
            if len(frame[2]) < message.get("descriptors", 0):
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            members = request(self, client, frame)
        except OSError as error:
            members = failure(error)
        except Exception as error:  # whatever a request has in it
            members = failure(OSError(errno.EINVAL, f"{type(error).__name__}: {error}"))
        if members is not None:
            self.reply(client, frame, members)

    def reply(self, client: Client, frame: Frame, members: dict[str, Any]) -> None:
        """Answer a request, and close what came with it."""
        message, _, fds = frame
        for descriptor in fds:
            os.close(descriptor)
        if "seq" in message and self.clients.get(client.end.fileno()) is client:
            client.send({"reply": message["seq"], **members})

    def complain(self, run: Run, text: str) -> None:
        for client in self.clients.values():
            if client.role == "server":
                client.send({"event": "complaint", "id": run.id, "generation": run.generation, "text": text})

    def pump(self, client: Client) -> None:
        try:
            client.pump()
        except OSError:
            self._hang_up(client)
            return
        if client.writes != client.waits:
            client.writes = client.waits
            self.attend_more(client)

    def _hang_up(self, client: Client) -> None:
        if self.clients.pop(client.end.fileno(), None) is None:
            return
        self.dismiss(client)
        client.close()
        if client.role == "server" and not any(one.role == "server" for one in self.clients.values()):
            self.alone_since = time.monotonic()
            self.left_alone()


def is_below(pid: int, keeper: int) -> bool:
    """Whether that process was started by an emulator of `keeper`, all of which stay its descendants; or is gone.

    An emulator must reach neither the keeper, which would start anything for it, unconfined, nor the engine, which
    imports what it is told.
    """
    while pid not in (0, 1, keeper):
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                pid = int(file.read().rpartition(b")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            return True
    return pid == keeper
