"""The class that authors of drivers for programs derive from: `ProcessDriver`."""

import asyncio
from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from resource import RLIMIT_AS, RLIMIT_FSIZE
from typing import TYPE_CHECKING, Any, ClassVar

from labplane.emulators.confinement import Needs
from labplane.emulators.limits import Limits
from labplane.emulators.refusals import refused_at
from labplane.emulators.session import Session
from labplane.emulators.users import give
from labplane.errors import Busy, Conflict, StorageFull, Unavailable, answer_to
from labplane.machines.driver import ConsoleDriver
from labplane.machines.udp_ends import hand_over
from labplane.programs.companions import Companion, accompany, run_of
from labplane.programs.notes import note_of
from labplane.programs.tools import HasDescriptor, confinement_of, limits_of, run_tool
from labplane.validation.schemas import Schema

if TYPE_CHECKING:
    from labplane.machines.vm import VM


class ProcessDriver(ConsoleDriver):
    """A driver whose VM is one program on a terminal. `command` is the only thing to write.

    confined: the program can execute nothing but itself and what it `needs`, read nothing but that and what the
              system's libraries need, write nowhere but in ``vm.dir``, see `is_confined`, and use no TCP. It has no
              capabilities, even if the server has. Its loader is a way out, as far as reading goes, for a program that
              can be told to call it with arguments.
    confines_itself: whether a program that is not `confined` confines itself, as one that makes namespaces does with
              `confine` before it lets its users in; then it is not reported as unconfined.
    timer_slack: seconds that the program's timers may be late, so that one that looks for work again and again does so
                 less often (man 2 prctl, PR_SET_TIMERSLACK); 0 for as few as usual.
    sigpipe:  whether SIGPIPE ends the program, as usual; otherwise it is ignored, and writing to a connection that is
              gone fails instead.
    keys:     on which the terminal itself acts, by their names in stty. Ctrl+C ("intr") interrupts the program, and
              Backspace ("erase") edits a line that the program has not yet read, if it leaves that to the terminal. All
              others reach the program as on a serial line, Ctrl+D too, so that no viewer ends or holds up the VM. A
              shell, whose users expect Ctrl+D, Ctrl+Z and the like to work, has
              ``(*ProcessDriver.keys, "eof", "kill", "werase", "susp", "quit")``.
    raw:      the terminal changes nothing, echoes nothing and acts on no key, for a program that passes a serial line
              through, as QEMU does with ``-serial stdio``: what its guest prints as CR LF is CR LF.

    All that `ConsoleDriver` does is done, and watching for the program's end. The terminal is the
    program's controlling one, its descriptors 0, 1 and 2 are that, and its environment is PATH, HOME, LANG,
    ``TERM=vt100`` and LABPLANE_RUN. The keeper owns both, so that a program goes on when the server is killed or
    restarted. When it ends, all that it has started is ended, whatever session that is in: by its parents, or by
    LABPLANE_RUN in its environment.
    """

    readonly: ClassVar[Mapping[str, Schema]] = {"command_line": {"type": "string"}}
    confined: ClassVar[bool] = True
    hands_over: ClassVar[bool] = True
    confines_itself: ClassVar[bool] = False
    timer_slack: ClassVar[float] = 0.0
    sigpipe: ClassVar[bool] = True
    keys: ClassVar[Collection[str]] = ("intr", "erase")
    raw: ClassVar[bool] = False

    @abstractmethod
    def command(self, vm: "VM") -> Sequence[str]:
        """The argument list that runs `vm`, in ``vm.dir``; the first is the program's absolute path.

        `find_program` finds it or raises Unavailable.
        """

    def needs(self, vm: "VM") -> Needs:
        """What the program of `vm` needs besides itself and its directory, when it is confined.

        The interpreter of a script, the virtual environment of a Python, and libraries that are installed with the
        program or that it names are its own, wherever they are. Nothing else below a user's home directory is.
        """
        return Needs()

    def limits(self, vm: "VM") -> Limits:
        """What the programs of `vm` may use together, companions included, where the server can limit it by cgroups.

        The settings ``max_vm_resident``, ``max_vm_processors`` and ``max_vm_processes`` hold besides; the stricter
        counts. What cannot be limited is told with each start, and refused when the setting ``cgroups`` requires it.
        """
        return Limits()

    async def files(self, vm: "VM") -> Sequence[HasDescriptor]:
        """Open files, sockets and pipes that the program of `vm` finds as its descriptors 3, 4 and so on, in order.

        So it needs no path that it could be kept from or that is too long, as that of a Unix socket in ``vm.dir`` is:
        one end of a socket pair is its monitor, a socket of `open_udp` hears nobody but its far end. Asked right before
        each start; they are closed here once the program has them, or cannot be started.
        """
        return ()

    async def tool(self, vm: "VM", command: Sequence[str], *, needs: Needs | None = None, seconds: float = 60.0) -> str:
        """Run a helper in ``vm.dir`` and wait for its end; what it printed. It is confined like the program itself.

        command: its argument list; the first is its absolute path.
        needs:   besides that; the images of `vm` it may read.
        seconds: after which it is ended. So it is when the request ends.

        Raises Conflict, with its last line, when it ends with another status than 0 or takes too long.
        """
        more = needs or Needs()
        images = replace(more, reads=(*more.reads, *vm.images()))
        if self.lab.user is not None:
            await asyncio.to_thread(give, vm.dir, self.lab.user)
        return await run_tool(self.lab, command, vm.dir, images, seconds)

    def companions(self, vm: "VM") -> Sequence[Companion]:
        """Further programs without which that of `vm` does not run, in the order in which they are started.

        They are up before it and ended after it, outlast the server with it, and are confined likewise; when one ends
        by itself, the VM is ended. Asked at each start.
        """
        return ()

    @property
    def is_confined(self) -> bool:
        """Whether its programs are confined on this server, as far as files and programs go."""
        by_the_server = self.confined and self.lab.settings.sandbox != "off" and self.lab.terminals.can_confine
        return by_the_server or self.confines_itself

    async def launch(self, vm: "VM", session: Session) -> None:
        """Start the program and return when it is up; raise Conflict when it lacks what it needs.

        To override around ``await super().launch(vm, session)``, to wait until it is really up.
        """
        command, needs = list(self.command(vm)), self.needs(vm)
        await hand_over(vm)
        for one in self.companions(vm):
            await accompany(self, vm, session, one)
        files = list(await self.files(vm))
        try:
            await self.spawn(vm, session, command, needs, files)
        finally:
            for file in files:
                file.close()
        if not all(one.alive for one in session.companions):
            raise Conflict(f"A companion of {vm} ended while it was started; its log is in {vm.dir}.")
        vm.command_line = " ".join(command)

    async def spawn(
        self,
        vm: "VM",
        session: Session,
        command: Sequence[str],
        needs: Needs,
        files: Sequence[HasDescriptor] = (),
        companion: str | None = None,
    ) -> None:
        """Run a program of `vm`, its own or that of a companion, in `session`; for the kernel."""
        allowed = None
        if self.confined:
            allowed = confinement_of(self.lab, replace(needs, reads=(*needs.reads, *vm.images())))
        try:
            limits, lacking = await limits_of(self.lab, self.limits(vm))
            if lacking is not None and companion is None:
                vm.tell("warning", f"{vm} runs with {lacking}.")
            if self.lab.user is not None:
                await asyncio.to_thread(give, vm.dir, self.lab.user)
            await session.spawn(
                self.lab.terminals,
                command,
                cwd=vm.dir,
                needs=allowed,
                user=self.lab.user,
                timer_slack=self.timer_slack,
                sigpipe=self.sigpipe,
                keys=self.keys,
                raw=self.raw,
                inherit={3 + index: one.fileno() for index, one in enumerate(files)},
                limits={RLIMIT_AS: self.lab.settings.max_vm_memory, RLIMIT_FSIZE: self.lab.settings.max_vm_file},
                name=vm.id if companion is None else run_of(vm, companion),
                note=note_of(vm, session, command, companion, confined=allowed is not None),
                group=None if limits is None else limits.group(vm.id),
            )
        except OSError as error:
            if isinstance(answer_to(error), Busy | StorageFull):
                raise  # which says what the system lacks
            at = await asyncio.to_thread(refused_at, command[0], vm.dir, self.lab.user, error)
            what = "" if at is None else f" at {at}"
            raise Unavailable(f"{command[0]} cannot be executed: {error.strerror}{what}.{session.suspicion}") from None

    async def bring_up(self, vm: "VM") -> None:
        """Launch the program and open its console; then it makes way for the server, see `Process.give_way`."""
        await super().bring_up(vm)
        if vm.session is not None:
            for one in (vm.session, *vm.session.companions):
                if one.process is not None:
                    one.process.give_way()

    async def show(self, vm: "VM") -> Mapping[str, Any]:
        """As in `Driver`, and the command line."""
        return {**await super().show(vm), "command_line": vm.command_line}
