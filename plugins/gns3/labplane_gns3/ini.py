"""INI files: several read as one, with the place of each value for messages, and the values that nothing has used."""

from collections.abc import Iterable
from configparser import Error, RawConfigParser
from pathlib import Path

from labplane.server import SettingsError


class Ini:
    """The values of several INI files. An empty value counts as absent.

    Each getter returns None for an absent value, and raises SettingsError with file, section and key for a bad one.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        """Read the files, of which the later win. Raises SettingsError for one that is missing or no INI file."""
        self._found: dict[tuple[str, str], tuple[str, Path]] = {}
        self._asked: set[tuple[str, str]] = set()
        for path in paths:
            parser = _parse(path)
            for section in parser.sections():
                for key, value in parser.items(section):
                    if value.strip():
                        self._found[section, key] = value.strip(), path

    def text(self, section: str, key: str) -> str | None:
        """The value as text."""
        self._asked.add((section, key))
        value, _ = self._found.get((section, key), (None, None))
        return value

    def port(self, section: str, key: str, lowest: int = 1) -> int | None:
        """A port number from `lowest` to 65535."""
        value = self.text(section, key)
        if value is None:
            return None
        if not (value.isascii() and value.isdigit()) or not lowest <= int(value[:6]) <= 65535:
            raise SettingsError(f"{self.place(section, key)}: {value[:60]!r} is no port from {lowest} to 65535")
        return int(value)

    def flag(self, section: str, key: str) -> bool | None:
        """A boolean, in any of the words that configparser knows."""
        value = self.text(section, key)
        if value is None:
            return None
        try:
            return RawConfigParser.BOOLEAN_STATES[value.lower()]
        except KeyError:
            raise SettingsError(f"{self.place(section, key)}: {value[:60]!r} is neither True nor False") from None

    def place(self, section: str, key: str) -> str:
        """File, section and key of a value that is there, for messages."""
        _, path = self._found[section, key]
        return f"{path}: [{section}] {key}"

    def unused(self) -> list[str]:
        """The place of each value that no getter was called for."""
        return [self.place(*name) for name in self._found if name not in self._asked]


def _parse(path: Path) -> RawConfigParser:
    parser = RawConfigParser()
    try:
        with path.open(encoding="utf-8-sig") as file:
            parser.read_file(file)
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{path} is not an INI file: it is not UTF-8") from None
    except Error as error:
        # The other lines of the message quote the file, which may hold a password.
        raise SettingsError(f"{path} is not an INI file: {error.message.splitlines()[0]}") from None
    return parser
