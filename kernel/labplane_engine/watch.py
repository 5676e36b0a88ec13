"""`Watch`: the descriptors of the engine that come and go, watched by an epoll that the event loop watches."""

import select
from asyncio import AbstractEventLoop
from collections.abc import Callable

Ready = Callable[[], None]


class Watch:
    """Tells when descriptors can be read, and written if that is wanted.

    The loop itself is not asked: on a busy machine uvloop, given the number of a descriptor that was closed a moment
    ago, at times does not watch the new one. Several machines of a lab were deaf by that.
    """

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._epoll = select.epoll()
        self._ready: dict[int, tuple[Ready, Ready | None]] = {}
        loop.add_reader(self._epoll.fileno(), self._look)

    def add(self, descriptor: int, read: Ready, write: Ready | None = None) -> None:
        """Call `read` when there is something to be read; `write` waits for `want_write`. Raises OSError."""
        self._epoll.register(descriptor, select.EPOLLIN)
        self._ready[descriptor] = read, write

    def want_write(self, descriptor: int, wanted: bool) -> None:
        """Call the `write` of that descriptor, too, when it takes something, or no longer."""
        self._epoll.modify(descriptor, select.EPOLLIN | (select.EPOLLOUT if wanted else 0))

    def remove(self, descriptor: int) -> None:
        """Watch a descriptor no longer, which is about to be closed."""
        del self._ready[descriptor]
        self._epoll.unregister(descriptor)

    def _look(self) -> None:
        for descriptor, events in self._epoll.poll(0):
            read, write = self._ready.get(descriptor, (None, None))
            if write is not None and events & select.EPOLLOUT:
                write()
            if read is not None and events & ~select.EPOLLOUT and descriptor in self._ready:
                read()
