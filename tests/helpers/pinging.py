"""Two PCs that ping each other for as long as a test lasts, and whether their consoles have told all of it."""

import re
from pathlib import Path

from websockets.sync.client import connect

from expect import nothing, shown
from lives import Lives, Process
from support import Server, until

SEQUENCE = re.compile(rb"icmp_seq=(\d+) ")
SKIPPED = b"\r\n[...]\r\n"


class Pinging:
    """A PC that pings another one without end, watched from outside.

    id: of their project.
    vms: the paths of the two.
    pause: between two pings, in ms.
    processes: what runs them.
    """

    def __init__(self, lives: Lives, pause: int = 1000) -> None:
        self._lives = lives
        self._pause = pause
        server = lives.server
        project = server.project(name="pinging")
        self.id = project.rsplit("/", 1)[1]
        self.vms = [*server.linked_pair(project)]
        self.begin()

    def begin(self) -> None:
        """Start both, and the ping."""
        server = self._lives.server
        for vm, address in zip(self.vms, ("10.9.0.1", "10.9.0.2"), strict=True):
            nothing(server.http.post(f"{vm}/start"))
            self.type(server, vm, f"ip {address} 24")
        self.type(server, self.vms[0], f"ping 10.9.0.2 -t -i {self._pause}")
        directory = Path(shown(server.http.get(self.vms[0]))["vm_directory"])
        self._logs = [directory / "vpcs.log.1", directory / "vpcs.log"]
        until(lambda: b"icmp_seq=3 " in self.printed(), "three pings")
        self.processes = self.running()

    def running(self) -> list[Process]:
        """The two processes."""
        found = self._lives.machines()
        return [process for vm in self.vms for process in found.get(vm.rsplit("/", 1)[1], [])]

    def printed(self) -> bytes:
        """All that the pinging PC has printed, as its log has it."""
        return b"".join(file.read_bytes() for file in self._logs if file.exists())

    def console(self) -> bytes:
        """What a new viewer of the pinging PC's console is shown at once."""
        url = self._lives.server.url.replace("http://", "ws://") + self.vms[0] + "/console"
        with connect(url, open_timeout=20, proxy=None) as socket:
            return socket.recv(timeout=20, decode=False)

    def complaints(self) -> list[str]:
        """What is wrong with the two after the server came back."""
        found = []
        if (now := self.running()) != self.processes:
            found.append(f"the pinging PCs are {now} instead of {self.processes}")
            return found
        before = self.printed()
        told, after = self.console(), self.printed()
        numbers = [int(number) for number in SEQUENCE.findall(after)]
        if numbers != list(range(1, len(numbers) + 1)):
            found.append(f"the log lacks pings: {numbers[:5]} … {numbers[-5:]}, {len(numbers)} in all")
        # What the console tells is the log's text without its middle, up to a moment between two looks.
        head, skipped, tail = told.partition(SKIPPED)
        if skipped:
            whole = after.startswith(head) and tail in after and after.index(tail) + len(tail) >= len(before)
        else:
            whole = after.startswith(told) and len(told) >= len(before)
        if not whole:
            found.append(f"the console has lost bytes: it tells {told[-200:]!r}, the log {after[-200:]!r}")
        return found

    def goes_on(self, pings: int = 2) -> None:
        """Wait until further pings have come back."""
        so_far = len(SEQUENCE.findall(self.printed()))
        until(lambda: len(SEQUENCE.findall(self.printed())) >= so_far + pings, "further pings")

    @staticmethod
    def type(server: Server, vm: str, line: str) -> None:
        """Type a line at a VM's console once its prompt is there."""
        url = server.url.replace("http://", "ws://") + vm + "/console"
        with connect(url, open_timeout=20, proxy=None) as socket:
            told = b""
            while not told.endswith(b"> "):
                told += socket.recv(timeout=20, decode=False)
            socket.send(line.encode() + b"\r")
            while line.encode() not in told:
                told += socket.recv(timeout=20, decode=False)
