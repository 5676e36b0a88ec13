"""Who can reach the server: strangers only with authentication and encryption, or when somebody insists."""

from typing import Any

import pytest

from labplane.server.exposure import Exposed, check, describe
from labplane.settings import Settings

SAFE = {"auth": "token", "certfile": "lab.pem"}


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"host": "::1"},
        {"host": "127.3.4.5"},
        {"host": "localhost"},
        {"uds": "/run/lab/socket", "host": "0.0.0.0"},
        {"host": "0.0.0.0", **SAFE},
        {"host": "lab.example", **SAFE},
        {"host": "0.0.0.0", "insecure": True},
        {"console_host": "::1"},
        {"console_host": "0.0.0.0", "insecure": True},
        {"console_host": "0.0.0.0", "insecure_consoles": True},
    ],
)
def test_these_settings_are_fine(values: dict[str, Any]) -> None:
    settings = Settings(**values)
    assert check(settings) is settings


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"host": "0.0.0.0"}, ["authentication (--auth token)", "encryption (--certfile", "--insecure"]),
        ({"host": "::"}, ["authentication", "encryption"]),
        ({"host": "lab.example", "auth": "token"}, ["needs encryption"]),
        ({"host": "10.1.2.3", "certfile": "lab.pem"}, ["needs authentication"]),
        ({"console_host": "0.0.0.0"}, ["telnet knows no authentication", "/console instead", "--insecure-consoles"]),
        ({"host": "0.0.0.0", "insecure_consoles": True}, ["needs authentication"]),
        ({"console_host": "0.0.0.0", **SAFE}, ["console_host"]),
    ],
)
def test_these_are_refused_with_what_to_do(values: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(Exposed) as refusal:
        check(Settings(**values))
    for word in words:
        assert word in str(refusal.value)


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({}, "HTTP: every user of this host, without authentication; consoles by telnet: every user of this host"),
        ({"host": "10.1.2.3", **SAFE}, "HTTP: whoever reaches 10.1.2.3, with the token, encrypted; "),
        ({"uds": "/run/lab/socket"}, "HTTP: who may enter the directory of /run/lab/socket, without authentication; "),
        ({"console_host": "0.0.0.0"}, "; consoles by telnet: whoever reaches 0.0.0.0, without authentication"),
    ],
)
def test_one_line_says_who_can_reach_it(values: dict[str, Any], line: str) -> None:
    assert line in describe(Settings(**values))


def test_the_token_is_not_shown_with_the_settings() -> None:
    assert "secret" not in repr(Settings(token="secret"))  # noqa: S106
