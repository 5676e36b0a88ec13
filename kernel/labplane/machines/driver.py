"""The classes that authors of drivers derive from: `Driver`, and `ConsoleDriver` for machines with a console."""

import asyncio
import os
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from labplane.consoles.screen import NoDoor, Screen
from labplane.emulators.session import Session
from labplane.errors import Conflict, LabError
from labplane.machines.booting import until_prompt
from labplane.machines.ports import VMPort, named_by_number
from labplane.machines.vm import PATIENCE
from labplane.net.nios import NIO_UDP
from labplane.validation.schemas import Schema

TELNET, VNC, NONE = CONSOLE_TYPES = ("telnet", "vnc", "none")

if TYPE_CHECKING:
    from labplane.machines.lab import Lab
    from labplane.machines.vm import VM


class Driver(ABC):
    """One kind of VM. The kernel makes its routes, schemas, lock, directory, ports and clean-up.

    kind:       a lower-case word: the URL segment and, capitalised, the schema prefix: "vpcs". Required.
    properties: JSON Schema of each setting of its own; they stand flat beside the kernel's in requests and replies.
                ``default`` is honoured. ``"x-change"`` says what changing it needs: with "live" the VM works with it at
                once, with "restart", which is the default, from its next start on, and with "stopped" the kernel
                refuses another value while the VM runs. A text of the ``"format": "labplane-image"`` names an image:
                the kernel refuses what can be none, and a start without its file; `VM.images` has the paths, and the
                program may read them. With ``"x-null": "default"`` requests may have null for the
                default. ``"x-saved-by"`` is the line with which the machine itself writes this setting, when it is
                typed at the console's prompt: "save", "write memory"; ``labplane save`` does so.
    accepts:    JSON Schema of each setting that only requests have, `properties` likewise; nobody keeps or shows it.
    required:   the names of the settings that a create request must have.
    readonly:   JSON Schema of each further member of a VM object, see `show`.
    console:    whether its VMs have a console port.
    boots:      whether its VMs have a guest that is up some time after their start. VM objects then have ``ready``, see
                `VM`.
    nios:       JSON Schema of each NIO type that it takes, by name: `NIO_UDP`; there is `NIO_TAP` too.
    hands_over: whether ``start`` itself lets go of the UDP ports of the links, right before the machine binds them;
                otherwise that is done before it is called.

    The names ``name``, ``vm_id``, ``console``, ``project_id``, ``status``, ``ready`` and ``vm_directory`` are the
    kernel's own.

    The kernel makes at most one call for a VM at a time. An action beyond start and stop becomes a route when
    it is defined: ``async def reload(self, vm)``, likewise suspend and resume. With ``async def connect(self, vm,
    port, nio)`` and ``async def disconnect(self, vm, port)`` a running VM can be re-wired; without them a changed
    link takes effect at the next start. With ``async def capture(self, vm, port, path)`` and ``async def
    end_capture(self, vm, port)`` it captures what goes through a linked port, as pcap, to the empty file at `path`;
    when it stops, its captures end with it, and no call tells so.

    Programs run on when the server ends or is killed, and the next one takes them over. For other VMs a driver may
    define ``async def recover(self, vm)``, which brings up a VM that ran then, with the links that it has. A driver of
    programs may, to take up again what it had open beside the terminal; ``vm.session`` is None when it has ended.

    A subclass has whatever ``__init__`` it likes, as long as that calls ``super().__init__(lab)``: the plugin makes the
    driver, in its hook `drivers`, and gives it what it needs of the plugin's settings (``self.config``).

    The kernel sets ``vm.status`` when a call has succeeded. What happens in between, by itself, the driver tells with
    `VM.report`, how far long work has come with `VM.progress`, anything else that the user should know with `VM.tell`.

    A method refuses by raising a LabError, Conflict as a rule; the request then has changed nothing.
    """

    kind: ClassVar[str]
    properties: ClassVar[Mapping[str, Schema]] = {}
    accepts: ClassVar[Mapping[str, Schema]] = {}
    required: ClassVar[Sequence[str]] = ()
    readonly: ClassVar[Mapping[str, Schema]] = {}
    console: ClassVar[bool] = True
    boots: ClassVar[bool] = False
    nios: ClassVar[Mapping[str, Schema]] = {"nio_udp": NIO_UDP}
    hands_over: ClassVar[bool] = False

    def __init__(self, lab: "Lab") -> None:
        self.lab = lab

    async def check(self) -> None:
        """Raise Unavailable, saying what to install, when the emulator cannot run here. Asked before each start."""

    def adapters(self, vm: "VM", *settings: Any, **_: Any) -> Sequence[int]:
        """The number of ports of each adapter of `vm`.

        Defined as ``def adapters(self, vm, settings)`` it is asked what holds with these settings, which are those of
        `vm` or those that a request would give it: a request that takes away a port in which a link is plugged is
        refused. As ``def adapters(self, vm)`` it finds them in ``vm.settings``.
        """
        return (1,)

    def ports(self, vm: "VM") -> Sequence[VMPort]:
        """The ports of `vm`, of each adapter in turn, with names, kinds and MAC addresses; `VM.mac` has addresses."""
        return list(named_by_number(vm.adapters()))

    def normalise(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """What a request gave for `properties` and `accepts`, in the form in which `configure` gets it and it is kept.

        Raises BadRequest for what fits the schema and means nothing all the same.
        """
        return given

    async def configure(self, vm: "VM", changes: Mapping[str, Any]) -> None:
        """Take `changes` in: settings by name, and "name" when a VM is renamed.

        Called before they are applied: `vm` still has the old values, or, while it is created, none but its name:
        ``vm.settings`` is empty then, and `changes` has what the request gave, without defaults. A refusal must come
        before anything is changed.
        """

    async def restore(self, vm: "VM", settings: Mapping[str, Any]) -> None:
        """Take in a VM that an earlier server had, or this one before its project was closed; it does not run.

        settings: those that it had. By default they go to `configure`, as those of a new VM do. Override this when that
        would do more than to take them in, as to write a file of the VM's anew. Its links come back after this, and
        neither `link` nor `connect` is called for them. When this fails the VM is kept, and the next start tries again.
        """
        await self.configure(vm, settings)

    async def link(self, vm: "VM", nio: Mapping[str, Any]) -> None:
        """Look at `nio` before it is plugged in; raise BadRequest or Conflict when it can never work."""

    async def show(self, vm: "VM") -> Mapping[str, Any]:
        """The driver's own members of the VM object: every one of `properties` and `readonly`.

        The only method that may be called while another works on `vm`: lists (L-2) and events wait for none of them.
        """
        return {name: vm.settings.get(name) for name in self.properties}

    def console_type(self, vm: "VM") -> str:
        """What the console of `vm` is: "telnet", "vnc" for a screen, which needs `screen`, or "none".

        VM objects of a driver that defines this have the member ``console_type``. A VM that runs keeps its type.
        """
        return TELNET

    async def screen(self, vm: "VM") -> socket.socket:
        """A connected stream socket at which the machine speaks RFB, for one more viewer of its screen.

        Viewers come to the console's port by VNC, and to its WebSocket with RFB in binary frames, as noVNC does. A path
        of a socket is not needed: the machine is handed one end of a `socket.socketpair`.
        """
        raise Conflict(f"{vm} has no screen.")

    def patience(self, vm: "VM") -> float:
        """The seconds that a graceful `stop` of `vm` may take, as far as the setting ``max_patience`` lets it."""
        return PATIENCE

    @abstractmethod
    async def start(self, vm: "VM") -> None:
        """Bring `vm` up; when this returns, it runs and its console answers."""

    @abstractmethod
    async def stop(self, vm: "VM") -> None:
        """Bring `vm` down; when this returns, nothing of it runs and its ports can be bound again."""

    async def removed(self, vm: "VM") -> None:
        """Clear up after `vm`, which is stopped, and deleted or of a project that is closed.

        The kernel takes ports and console back itself, and forgets what a `Store` has of a VM that is deleted.
        """


def chooses_console(driver: Driver) -> bool:
    """Whether the driver says, by a method, what the consoles of its VMs are."""
    method = type(driver).console_type
    return method is not Driver.console_type and callable(method)


class ConsoleDriver(Driver):
    """A driver whose VMs have a console with telnet, WebSocket, viewers, scrollback and a log. `launch` starts one.

    leave_on: output that means: the viewer that typed last wants to leave the console.
    prompt:   pattern (`re`) of what stands at the end of the output while the machine waits for a line; None when there
              is no such thing, or it is not known. A VM of a driver that `boots` is ready when it comes.
    longest_line: in bytes, of the lines that the machine takes at its prompt.
    consoles: the names of further consoles, lower-case words: each has a port, in the member ``consoles`` of VM
              objects, and a WebSocket. What is there is a companion of that name, see `ProcessDriver.companions`.

    ``start``, ``stop``, ``reload``, the console, the log and taking note of the end are done.
    """

    leave_on: ClassVar[bytes | None] = None
    prompt: ClassVar[bytes | None] = None
    longest_line: ClassVar[int] = 1000
    consoles: ClassVar[Sequence[str]] = ()

    async def prepare(self, vm: "VM") -> None:
        """Raise a LabError when `vm` cannot start now. Asked before a start or reload touches anything."""

    @abstractmethod
    async def launch(self, vm: "VM", session: Session) -> None:
        """Start the machine and put it behind the console with ``session.run``; return when it is up.

        The machine is a `Running`: it gets the keys that viewers type, prints with ``session.printed``, and tells its
        end with ``session.ended``. Raises Conflict when it lacks something that it needs.
        """

    def typed(self, data: bytes) -> bytes:
        """The part of the `data` that console viewers typed that shall reach the machine."""
        return data

    async def start(self, vm: "VM") -> None:
        """S-1 to S-3: when it returns the machine runs and its console listens."""
        await self.prepare(vm)
        await self.bring_up(vm)

    async def stop(self, vm: "VM") -> None:
        """S-5: end the machine; a program gets SIGTERM, and SIGKILL when its `patience` is over."""
        if vm.session is not None:
            if vm.session.process is not None:
                await vm.session.process.stop(vm.patience)
            await vm.session.close()

    async def reload(self, vm: "VM") -> None:
        """S-6: stop, then start. A VM that cannot start again is not stopped either; one that is stopped is started."""
        await self.prepare(vm)
        await self.stop(vm)
        await self.bring_up(vm)

    async def bring_up(self, vm: "VM") -> None:
        """Launch the machine and open its console; nothing of it remains when that fails."""
        await self.stop(vm)
        if not vm.dir.is_dir():
            await asyncio.to_thread(vm.dir.mkdir, parents=True, exist_ok=True)
        vm.session = self.new_session(vm)
        opening = self.lab.background(self.open_console(vm, vm.session))  # while the machine is being started
        try:
            await self.launch(vm, vm.session)
            if not vm.session.alive:
                raise Conflict(
                    f"{vm} ended as soon as it was started. Its last words: {vm.session.last_line or 'none'}"
                    + vm.session.suspicion
                )
            await opening
        except BaseException:
            await asyncio.gather(opening, return_exceptions=True)  # or it would open what is closed already
            await vm.session.close()
            raise

    def new_session(
        self, vm: "VM", companion: str = "", on_exit: Callable[[Session, int], None] | None = None
    ) -> Session:
        """A session of `vm`, or of its companion of that name, in which nothing runs yet; for the kernel."""
        session = Session(
            vm.dir,
            f"{companion or self.kind}.log",
            name=companion,
            typed=(lambda data: data) if companion else (lambda data: self._typed(vm, data)),
            leave_on=None if companion else self.leave_on,
            on_exit=on_exit or vm.ended,
            complain=lambda sentence: vm.tell("warning", f"{vm}: {sentence}"),
            most_viewers=self.lab.settings.max_viewers,
            keepalive=self.lab.settings.keepalive_seconds,
        )
        if companion:
            return session
        kind = vm.console_type
        if kind == NONE:
            session.listener = NoDoor(session.console)
        elif kind == VNC:
            session.listener = Screen(
                session.console,
                lambda: vm.supervised(self.screen(vm)),
                self.lab.settings.max_viewers,
                self.lab.settings.keepalive_seconds,
            )
        if self.boots and self.prompt is not None:
            until_prompt(vm, session.console, self.prompt)
        return session

    def _typed(self, vm: "VM", data: bytes) -> bytes:
        try:
            return vm.run(self.typed, data)
        except LabError:  # a viewer is no client that could be answered
            return b""

    async def open_console(self, vm: "VM", session: Session) -> None:
        """Let the console of `vm` that `session` is at listen, if it has one; for the kernel."""
        port = vm.consoles.get(session.name) if session.name else vm.console
        if port is None:
            return
        host = self.lab.settings.console_host
        try:
            with self.lab.consoles.shared(port):
                await session.listener.listen(host, port)
        except OSError as error:
            raise Conflict(
                f"The console port {port} of {vm} cannot be opened on {host}: {os.strerror(error.errno or 0)}. "
                "Give the VM another console or end the program that has it."
            ) from None
        except RuntimeError:
            raise Conflict(f"{vm} ended while it was started.") from None
