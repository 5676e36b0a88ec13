"""A test of the tests: of each mutant of the reference driver, one defect each, the kit says what is wrong with it."""

import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

SPECIMENS = Path(__file__).parent / "specimens"


class Catch(NamedTuple):
    """Which test catches a mutant, and what it must say."""

    test: str
    words: str


REMOVED = "test_deleting_a_vm_that_runs_leaves_nothing"
CHECK = "test_without_programs_on_the_path_start_works_or_is_refused_with_a_sentence"
VIEWERS = "test_its_console_takes_viewers_as_soon_as_start_has_answered"
PORTS = "test_every_port_comes_back"
RESTART = "test_a_restart_keeps_console_and_links"
STOP = "test_when_stop_has_answered_nothing_of_the_vm_runs"
OBJECT = "test_a_vm_object_is_what_the_schema_publishes"
UPDATE = "test_an_update_is_taken_or_changes_nothing"

CATCHES: Mapping[str, Catch] = {
    "LeakingStop": Catch(STOP, "when stop had answered, there were processes still"),
    "HastyStop": Catch(STOP, "when stop had answered, there were processes still"),
    "Daemon": Catch(STOP, "'sleep'"),
    "LyingStatus": Catch("test_the_end_of_its_emulator_is_noticed_within_a_second", "the VM is still started"),
    "ShortLife": Catch("test_a_vm_starts_and_stays_started", "without a request, the VM is stopped"),
    "HastyStart": Catch(VIEWERS, "does not take a viewer when start had answered"),
    "LockBypass": Catch("test_many_starts_at_once_are_one_start", "8 starts at once"),
    "OnceOnly": Catch(RESTART, "It was started before."),
    "RestartElsewhere": Catch(RESTART, "the console is another one"),
    "LentPorts": Catch(RESTART, "another VM gets the lport"),
    "LentConsole": Catch(RESTART, "is offered to a new one, as it is when stop() releases it"),
    "LostUDPPort": Catch(PORTS, "'UDP ports': 6"),
    "LostConsole": Catch(PORTS, "what a driver leases itself, it must release in removed()"),
    "LostDescriptor": Catch("test_starts_and_stops_leave_no_descriptor", "have left descriptors open: /dev/null"),
    "LostFile": Catch(REMOVED, "files are left: "),
    "FileInProject": Catch(REMOVED, ".pid"),
    "FileInProjects": Catch("test_closing_the_project_of_a_vm_that_runs_leaves_nothing", ".pid"),
    "NoDefaults": Catch("test_settings_that_are_not_given_have_their_defaults", "'count' was not given and is 0"),
    "IgnoredSetting": Catch("test_settings_that_are_given_are_answered", "'speed' was changed to 'fast'"),
    "MissingMember": Catch(OBJECT, "lacks speed, which the schema publishes"),
    "WrongType": Catch(OBJECT, "'count' of the VM object: '3' is not of type 'integer'"),
    "NoNull": Catch(OBJECT, "no default and is not given is null"),
    "CrashingSetting": Catch("test_any_settings_that_fit_the_schema_make_a_vm_or_are_refused", "UnicodeEncodeError"),
    "CrashingUpdate": Catch(UPDATE, "ZeroDivisionError"),
    "CrashingStart": Catch("test_whatever_settings_it_took_start_works_or_is_refused", "UnicodeEncodeError"),
    "ChangesBeforeRefusing": Catch(UPDATE, "configure() must refuse before it changes anything"),
    "Unnameable": Catch("test_a_vm_can_be_renamed", "A VM keeps its name."),
    "CheckIgnored": Catch("test_a_check_that_fails_is_the_answer_to_start", "answered 204: '' instead of 409"),
    "CrashingCheck": Catch(CHECK, "FileNotFoundError"),
    "SpeechlessCheck": Catch(CHECK, "without a sentence that says what to do"),
    "DeafConsole": Catch(VIEWERS, "does not take a viewer when start had answered"),
    "RudeConsole": Catch(VIEWERS, "hangs up on the first viewer"),
    "ConsoleForOne": Catch(VIEWERS, "hangs up on the second viewer"),
    "ClingingConsole": Catch(VIEWERS, "after stop a viewer is still connected"),
    "NoNIOs": Catch("test_a_port_takes_every_type_of_nio_that_is_published", "Not now."),
    "CrashingRewiring": Catch("test_a_vm_that_runs_can_be_rewired", "KeyError"),
    "CrashingResume": Catch("test_a_vm_is_suspended_and_resumed", "AttributeError"),
    "StuckReload": Catch("test_a_stopped_vm_can_be_reloaded", "answered 500"),
    "StuckWhenSuspended": Catch("test_a_suspended_vm_can_be_stopped", "Resume it first."),
    "ConsoleOnce": Catch("test_its_console_is_there_again_after_a_restart", "does not take a viewer"),
    "LostAtTheEnd": Catch(
        "test_vms_that_are_deleted_or_closed_while_they_run_leave_no_descriptor", "left descriptors open: /dev/null"
    ),
    "Restless": Catch("test_a_vm_is_shown_and_listed_from_create_to_delete", "show differs from the reply to create"),
    "Choosy": Catch("test_a_vm_takes_what_it_shows", "At least one tag."),
    "FailingFarewell": Catch(REMOVED, "KeyError: 'notes'"),
}


@pytest.fixture(scope="module")
def failures(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """What the kit said of each mutant, by two runs of pytest side by side over half of them each."""
    mutants = list(CATCHES)
    halves = [(tmp_path_factory.mktemp("mutants"), mutants[half::2]) for half in range(2)]
    runs = [_pytest(folder, half) for folder, half in halves]
    outputs = [run.communicate()[0] for run in runs]
    said: dict[str, str] = {}
    for run, output, (folder, half) in zip(runs, outputs, halves, strict=True):
        assert run.returncode == 1, output
        verdicts = dict(_verdicts(folder / "verdicts.xml"))
        assert verdicts.keys() == set(half), output
        said |= verdicts
    return said


def _pytest(folder: Path, mutants: Sequence[str]) -> subprocess.Popen[str]:
    text = "from labplane.testing import DriverTests\n"
    for mutant in mutants:
        config = folder / f"{mutant}.toml"
        config.write_text(f'[plugins.specimens]\nclass = "{mutant}"\n')
        options = ("--plugins-dir", str(SPECIMENS), "--config", str(config))
        text += f"\nclass Test{mutant}(DriverTests):\n    kind = 'specimen'\n    options = {options!r}\n"
    (folder / "test_mutants.py").write_text(text)
    chosen = [f"test_mutants.py::Test{mutant}::{CATCHES[mutant].test}" for mutant in mutants]
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "--junitxml", "verdicts.xml", *chosen]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def _verdicts(report: Path) -> Iterator[tuple[str, str]]:
    """Each mutant, and how its test failed; "" if it passed."""
    for case in ET.parse(report).iter("testcase"):  # noqa: S314 - our own
        failure = case.find("failure")
        said = "" if failure is None else f"{failure.attrib['message']}\n{failure.text}"
        yield case.attrib["classname"].removeprefix("test_mutants.Test"), said


def test_every_mutant_is_in_the_table() -> None:
    mutants = re.findall(r"^class (\w+)\(Reference\)", (SPECIMENS / "specimens.py").read_text(), re.MULTILINE)
    assert mutants == list(CATCHES)


@pytest.mark.parametrize("mutant", CATCHES)
def test_a_mutant_is_caught_and_told_what_is_wrong_with_it(mutant: str, failures: Mapping[str, str]) -> None:
    assert failures[mutant], f"{mutant} passed {CATCHES[mutant].test}"
    assert CATCHES[mutant].words in failures[mutant]
