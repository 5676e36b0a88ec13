"""The one exception of the client."""


class ClientError(Exception):
    """A refusal, or no answer; status: of the reply, None without one; message: a sentence that says why."""

    def __init__(self, status: int | None, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message
