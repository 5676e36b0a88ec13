"""Lines typed at consoles on request, one at a time for each VM; every viewer sees them happen."""

import asyncio
import re
import time
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from labplane import VM, BadRequest, Conflict, ConsoleDriver, Session

MOST = 4 * 1024 * 1024  # bytes that one line may print
ESCAPES = re.compile(rb"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[@-Z\\-_]|\x07")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a line printed.

    output:   with lines that end with a line feed, without the echoed line and the prompt.
    ended_by: "prompt", "until", "timeout", or "exit" when the VM ended meanwhile.
    """

    output: str
    ended_by: str


class Typist:
    """Types lines at the consoles of a lab's VMs."""

    def __init__(self) -> None:
        self._locks: WeakKeyDictionary[VM, asyncio.Lock] = WeakKeyDictionary()

    async def ask(self, vm: VM, line: str, until: str | None, timeout: float) -> Answer:
        """Type `line` at the console of `vm` when it is at its prompt; what it printed until the next.

        until:   a regular expression that ends the output, in place of the prompt.
        timeout: seconds for all of it, the wait for others who ask included.

        Raises Conflict when nothing can be typed, and nothing is; BadRequest when `until` is no regular expression.
        """
        prompt = _prompt(vm)
        end = _pattern(until)
        if prompt is None and end is None:
            raise Conflict(
                f"{vm.driver.kind} VMs have no prompt that labplane knows; say with 'until' what ends the output."
            )
        if isinstance(vm.driver, ConsoleDriver) and len(line.encode()) > vm.driver.longest_line:
            raise BadRequest(
                f"'line' is longer than {vm.driver.longest_line} bytes; {vm.driver.kind} takes no such line."
            )
        deadline = time.monotonic() + timeout
        lock = self._locks.setdefault(vm, asyncio.Lock())
        try:
            async with asyncio.timeout(timeout):
                await lock.acquire()
        except TimeoutError:
            raise Conflict(f"Other lines were typed at {vm} for {timeout:g} seconds; try again later.") from None
        try:
            return await _ask(vm, line, prompt, end, deadline)
        finally:
            lock.release()


async def _ask(
    vm: VM, line: str, prompt: re.Pattern[bytes] | None, until: re.Pattern[bytes] | None, deadline: float
) -> Answer:
    session = vm.session
    if session is None or not session.alive:
        what = "does not run; start it first" if session is not None or vm.status == "stopped" else "has telnet only"
        raise Conflict(f"There is nobody at this console: {vm} {what}.")
    ear = Ear()
    session.console.attach(ear)
    try:
        if prompt is not None and not await ear.hears(prompt, deadline):
            shown = _text(bytes(ear.heard[-200:])).rpartition("\n")[2]
            raise Conflict(
                f"The console of {vm} does not come to its prompt: {shown!r} stands there. Somebody types, or a "
                "command runs; finish that, or give a longer 'timeout'."
            )
        del ear.heard[:]
        session.console.typed(ear, line.encode() + b"\r")
        ended_by = await _listen(ear, session, prompt, until, deadline)
    finally:
        session.console.detach(ear)
    return Answer(_without_echo(bytes(ear.heard), line, prompt), ended_by)


async def _listen(
    ear: "Ear",
    session: Session,
    prompt: re.Pattern[bytes] | None,
    until: re.Pattern[bytes] | None,
    deadline: float,
) -> str:
    """Wait for the end of the output; what it was."""
    wanted = until if until is not None else prompt
    assert wanted is not None  # noqa: S101 - `ask` has looked
    if await ear.hears(wanted, deadline, after_line=True):
        return "until" if until is not None else "prompt"
    return "timeout" if session.alive and not ear.is_gone else "exit"


class Ear:
    """A viewer that hears what a console prints.

    heard: from when it was attached, the scrollback first.
    is_gone: the console has closed.
    """

    def __init__(self) -> None:
        self.heard = bytearray()
        self.is_gone = False
        self._news = asyncio.Event()

    def send(self, data: bytes) -> None:
        self.heard += data
        del self.heard[:-MOST]
        self._news.set()

    def hang_up(self) -> None:
        self.is_gone = True
        self._news.set()

    async def hears(self, pattern: re.Pattern[bytes], deadline: float, *, after_line: bool = False) -> bool:
        """Wait until `pattern` is found in what was printed; False at the deadline, or when the console closes.

        after_line: it is looked for below the first line only, which is the echo of what was typed.
        """
        while True:
            start = 0
            if after_line:
                start = self.heard.find(b"\n") + 1
            # In a slice, so that `^` is found at its beginning, where the prompt of a line without output stands.
            if (start or not after_line) and pattern.search(self.heard[start:]):
                return True
            left = deadline - time.monotonic()
            if self.is_gone or left <= 0:
                return False
            self._news.clear()
            try:
                async with asyncio.timeout(left):
                    await self._news.wait()
            except TimeoutError:
                return False


def _prompt(vm: VM) -> re.Pattern[bytes] | None:
    driver = vm.driver
    if not isinstance(driver, ConsoleDriver) or driver.prompt is None:
        return None
    return re.compile(rb"(?:" + driver.prompt + rb")\Z")


def _pattern(until: str | None) -> re.Pattern[bytes] | None:
    if until is None:
        return None
    try:
        return re.compile(until.encode(), re.MULTILINE)
    except re.error as error:
        raise BadRequest(f"'until' is no regular expression: {error}.") from None


def _without_echo(heard: bytes, line: str, prompt: re.Pattern[bytes] | None) -> str:
    if prompt is not None and (found := prompt.search(heard)):
        heard = heard[: found.start()]
    lines = _text(heard).split("\n")
    echoed = 1
    # The terminal echoes it too when it comes before the machine has taken over the echo.
    while line and echoed < len(lines) - 1 and lines[echoed].strip() == line.strip():
        echoed += 1
    return "\n".join(lines[echoed:])


def _text(data: bytes) -> str:
    return ESCAPES.sub(b"", data).replace(b"\r", b"").decode(errors="replace")
