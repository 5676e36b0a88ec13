"""A machine that does nothing, for drivers of tests."""

from labplane import Session


class Machine:
    """Runs until it is stopped."""

    def __init__(self, session: Session) -> None:
        self.returncode: int | None = None
        self._session = session

    def write(self, data: bytes) -> None:
        pass

    async def stop(self) -> None:
        if self.returncode is None:
            self.returncode = 0
            self._session.ended(0)
