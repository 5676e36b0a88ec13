"""What is asked for and cannot be limited is told with each start, or keeps a VM from it."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from inprocess import offering, serving
from labplane import VM, Limits, ProcessDriver
from labplane.emulators.limits import Limiting
from labplane.emulators.terminals import Terminals


class Modest(ProcessDriver):
    """Wants no more than two processors."""

    kind = "modest"

    def command(self, vm: VM) -> Sequence[str]:
        return ["/bin/cat"]

    def limits(self, vm: VM) -> Limits:
        return Limits(processors=2)


class Free(Modest):
    """Wants nothing of the kind."""

    kind = "free"

    def limits(self, vm: VM) -> Limits:
        return Limits()


def started(tmp_path: Path, kind: str, **settings: Any) -> tuple[int, str]:
    """The status and the text of the reply to the start of a VM."""
    with serving(tmp_path, [offering(Modest, Free)], **settings) as served:
        reply = served.http.post(f"{served.vm(served.project(), kind)}/start")
        return reply.status_code, reply.text


def test_a_vm_that_cannot_be_limited_is_started_and_the_log_names_its_limits(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert started(tmp_path, "modest", cgroups="off", max_vm_processes=5) == (204, "")
    assert "runs with no limit of processors (2), processes (5): cgroups are off in the settings." in caplog.text


def test_nothing_is_told_of_a_vm_without_limits(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert started(tmp_path, "free", cgroups="off") == (204, "")
    assert "no limit" not in caplog.text


@pytest.mark.parametrize(
    ("kind", "limiting", "words"),
    [
        ("free", Limiting(reason="there is no sun"), "no cgroups for programs, .* require them: there is no sun"),
        ("modest", Limiting(("memory",)), r"no limit of processors \(2\): of cgroups there are memory only"),
    ],
)
def test_no_vm_is_started_without_what_the_settings_require(
    kind: str, limiting: Limiting, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def says(self: Terminals) -> Limiting:
        return limiting

    monkeypatch.setattr(Terminals, "limiting", says)
    status, text = started(tmp_path, kind, cgroups="require")
    assert status == 409
    assert re.search(words, text), text
