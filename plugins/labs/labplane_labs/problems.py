"""What can be wrong with a lab: of its own, so that a command that only asks a server reads no YAML for it."""

from collections.abc import Sequence


class Problem(Exception):
    """One thing that is wrong with a file; its text begins with "file:line:column: ", as editors read it.

    line, column: from 1 on; 0 when it is about the whole file.
    """

    def __init__(self, file: str, line: int, column: int, message: str) -> None:
        super().__init__(f"{file}:{line}:{column}: {message}" if line else f"{file}: {message}")
        self.file, self.line, self.column, self.message = file, line, column, message


class BadFile(Exception):
    """A file that cannot be used; problems: all that was found, in the file's order."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = sorted(problems, key=lambda problem: (problem.line, problem.column))
        super().__init__("\n".join(str(problem) for problem in self.problems))


class TooLate(Exception):
    """The time that was given is over; the text says what was waited for."""
