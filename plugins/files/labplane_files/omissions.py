"""What a list or an export of a project leaves out, told to the log and to those who listen to the project."""

import logging

from labplane import Lab

log = logging.getLogger("labplane.files")

NAMED = 5


class Omissions:
    """Files of a project that a reply cannot have, with a sentence for each.

    reply: what the reply is: "list of files".
    """

    def __init__(self, lab: Lab, project_id: str, reply: str) -> None:
        self._lab = lab
        self._project_id = project_id
        self._reply = reply
        self._named: list[str] = []
        self._count = 0

    def add(self, sentence: str) -> None:
        """Take note of one file; from any thread."""
        self._count += 1
        if self._count <= NAMED:
            self._named.append(sentence)

    @property
    def text(self) -> str:
        """All that is left out, the first few by name; "" when nothing is."""
        if not self._count:
            return ""
        more = f" And {self._count - NAMED} more." if self._count > NAMED else ""
        return f"The {self._reply} of the project {self._project_id} is not complete. {' '.join(self._named)}{more}"

    def tell(self) -> None:
        """Log `text` and emit it as `log.warning`, if there is any."""
        if text := self.text:
            log.warning("%s", text)
            self._lab.events.emit("log.warning", {"message": text}, self._project_id)
