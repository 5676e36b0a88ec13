"""A viewer of a console, in memory."""

from labplane.consoles.console import Console


class Screen:
    """A viewer in memory; `obedient` ones detach when they are hung up."""

    def __init__(self, console: Console, obedient: bool = True) -> None:
        self.console = console
        self.obedient = obedient
        self.seen = b""
        self.hung_up = 0
        console.attach(self)

    def send(self, data: bytes) -> None:
        assert not self.hung_up
        self.seen += data

    def hang_up(self) -> None:
        self.hung_up += 1
        if self.obedient:
            self.console.detach(self)

    def type(self, data: bytes) -> None:
        self.console.typed(self, data)


def nowhere(data: bytes) -> None:
    pass
