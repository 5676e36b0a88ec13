"""The virtual PC: a host with a console at which one types the commands of VPCS."""

import dataclasses
from collections import deque
from collections.abc import Callable

from labplane_pc.commands import COMMANDS, PREFIXED, WITHOUT_PAGE
from labplane_pc.commands.files import Directory, keep_history, recall_history, startup
from labplane_pc.commands.lease import Lease, keep
from labplane_pc.editor import CTRL_C, Editor, Typed
from labplane_pc.ethernet import mac_text
from labplane_pc.help_pages import page_about
from labplane_pc.host import Host
from labplane_pc.tasks import Event, Keys, Running, Task
from labplane_pc.timers import Timers
from labplane_pc.words import text, words

MOST_PENDING = 4096
PRODUCT = "the built-in engine of labplane"


@dataclasses.dataclass(frozen=True, slots=True)
class Link:
    """The link of a PC, as its console shows it. tap: the tap device, if it is one."""

    lport: int = 20000
    rhost: str = "127.0.0.1"
    rport: int = 30000
    tap: str = ""


class VirtualPC:
    """A PC. Give it what comes with `receive`, `typed` and, when it is `deadline`, `tick`; each with the time.

    name:      as ``set pcname`` has it, and its prompt.
    now:       the time that it was told last.
    deadline:  when it wants to be called next; None when it waits for nothing.
    history:   the lines that were typed.
    echoes:    whether commands of a file are shown.
    depth:     how many files are being carried out, one called by another.

    send takes a frame that goes out, show what the console prints, ended the status when ``quit`` ends the PC; clock
    gives the time while it works, which passes then, too. Without one it is what it was told last.
    """

    MOST_DEPTH = 4

    __slots__ = (
        "_background",
        "_clock",
        "_editor",
        "_ended",
        "_foreground",
        "_is_catching_up",
        "_pending",
        "_show",
        "_status",
        "_timers",
        "_version",
        "depth",
        "directory",
        "echoes",
        "host",
        "lease",
        "link",
        "name",
        "now",
    )

    def __init__(
        self,
        mac: bytes,
        directory: Directory,
        link: Link,
        *,
        version: str,
        send: Callable[[bytes], None],
        show: Callable[[bytes], None],
        ended: Callable[[int], None],
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.name = "VPCS"
        self.now = 0.0
        self.link = link
        self.directory = directory
        self.lease = Lease()
        self.echoes = False
        self.depth = 0
        self._version = version
        self._show = show
        self._ended = ended
        self._clock = clock
        self._status: int | None = None
        self._timers = Timers()
        self._editor = Editor(show)
        self._pending: deque[int] = deque(maxlen=MOST_PENDING)
        self._foreground: Running | None = None
        self._is_catching_up = False
        self._background: Running | None = None
        self.host = Host(mac, self._timers, send=send, tell=self._tell, duplicate=self._on_duplicate)

    @property
    def deadline(self) -> float | None:
        return self._timers.next

    @property
    def time(self) -> float:
        """What time it is just now, for what is measured."""
        return self.now if self._clock is None else self._clock()

    @property
    def history(self) -> list[bytes]:
        return self._editor.history

    @property
    def banner(self) -> str:
        """What it says that it is."""
        return (
            f"\r\nWelcome to Virtual PC Simulator, version {self._version} of {PRODUCT}\r\n"
            "Its commands are those of VPCS 0.8.3, whose help pages are\r\n"
            "Copyright (c) 2007-2015, Paul Meng (mirnshi@gmail.com)\r\n"
            "No program of that name runs here.\r\n"
        )

    def start(self, now: float) -> None:
        """Begin: the banner, the startup file, the prompt."""
        self.now = now
        self.host.six.solicit_routers()
        self.host.six.detect_duplicates(self.host.six.link_local, now)
        recall_history(self)
        self.print(f"{self.banner}\nPress '?' to get help.\n")
        self._run(startup(self))

    def receive(self, frame: bytes, now: float) -> None:
        """Take a frame that came in."""
        self.now = now
        self.host.receive(frame, now)

    def tick(self, now: float) -> None:
        """Do what the time has come for."""
        self.now = now
        self._timers.run(now)

    def typed(self, data: bytes, now: float) -> None:
        """Take keys. Those that come while a command runs wait for it, but for Ctrl+C, which interrupts it."""
        self.now = now
        for byte in data:
            if self._foreground is None:
                self._key(byte)
            elif byte == CTRL_C:
                self._pending.clear()
                self._show(b"^C")
                self._foreground.interrupt(now)
            else:
                self._pending.append(byte)
        if self._foreground is not None and self._pending:
            self._foreground.hear(Keys(bytes(self._pending)), now)

    def leave(self) -> None:
        """Keep what outlasts this run: the history."""
        keep_history(self)

    def print(self, words: str) -> None:
        """Print on the console."""
        self._show(words.encode("utf-8", "replace").replace(b"\n", b"\r\n"))

    def end(self, status: int) -> None:
        """End after the command that runs."""
        self._status = status

    def keep_lease(self) -> None:
        """Renew the lease from now on, as long as it is the same one."""
        self._background = Running(keep(self), self._timers, self._forget_background)
        self._background.begin(self.now)

    def carry_out(self, line: str, *, is_loaded: bool = False) -> Task:
        """Carry out one line of commands."""
        argv = words(line)
        if not argv or line[0] in "#;":
            return
        if len(argv) == 1 and len(argv[0]) == 1 and argv[0] in "0123456789":
            if argv[0] != "1":
                self.print("\nOnly 1 VPCs actived\n")
            return
        self.print("\n")
        quiet = argv[0].startswith("@")
        argv[0] = argv[0].removeprefix("@") if len(argv[0]) > 1 else argv[0]
        if argv[0] and "echo".startswith(argv[0]):
            self.print(line.partition(" ")[2] or line.partition("\t")[2])
            return
        found = [name for name in COMMANDS if name.startswith(argv[0])]
        if len(found) != 1:
            unknown = f'Bad command: "{line}". Use ? for help.\n'
            self.print("".join(f"{name}\n" for name in found) or unknown)
            return
        command = found[0]
        if self.echoes and is_loaded and not quiet and not (command == "sleep" and len(argv) != 2):
            self.print(f"{self.name}[1] {line}\n")
        asked = len(argv) > 1 and argv[-1] in ("?", "help") and command not in WITHOUT_PAGE
        page = page_about([command, *argv[1:]]) if asked else None
        if page is not None:
            self.print(page)
            return
        prefix = PREFIXED.get(command)
        task = COMMANDS[command](self, [command, *argv[1:]] if prefix is None else [prefix, command, *argv[1:]])
        if task is not None:
            yield from task

    def _key(self, byte: int) -> None:
        typed = self._editor.key(byte)
        if typed is Typed.CANCELLED:
            self._prompt()
        elif typed is Typed.LINE:
            line = self._editor.take().decode("latin-1").rstrip()
            if line:
                self._run(self.carry_out(line))
            else:
                self._prompt()

    def _run(self, task: Task) -> None:
        self._foreground = running = Running(task, self._timers, self._after_command)
        running.begin(self.now)

    def _after_command(self) -> None:
        self._foreground = None
        self.depth = 0
        if self._status is not None:
            self._ended(self._status)
            return
        self._prompt()
        if self._is_catching_up:
            return
        self._is_catching_up = True
        while self._pending and self._foreground is None:
            self._key(self._pending.popleft())
        self._is_catching_up = False

    def _prompt(self) -> None:
        self.print(f"\n\r{self.name}> ")

    def _forget_background(self) -> None:
        self._background = None

    def _tell(self, event: Event, now: float) -> None:
        if self._foreground is not None:
            self._foreground.hear(event, now)
        if self._background is not None:
            self._background.hear(event, now)

    def _on_duplicate(self, address: bytes, mac: bytes) -> None:
        self.print(f"\n{text(address)} is being used by MAC {mac_text(mac)}\nAddress not changed\n")
        if self._foreground is None:
            self._prompt()
