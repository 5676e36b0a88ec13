"""A test of the tests of the wire: two hosts without a fault pass, and of each mutant the kit says what is wrong."""

import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from labplane.testing import DriverTests

SPECIMENS = Path(__file__).parent / "specimens"
ANSWERS = {(0, 0): "10.66.0.1", (1, 0): "10.66.1.1"}


class TestHost(DriverTests):
    kind = "host"
    options = ("--plugins-dir", str(SPECIMENS))
    answers = ANSWERS
    boots_within = 3.0


class TestProgram(DriverTests):
    kind = "host"
    options = ("--plugins-dir", str(SPECIMENS), "--config", str(SPECIMENS / "program.toml"))


class Catch(NamedTuple):
    """Which test catches a mutant, and what it must say; whether by a failure, or as what it leaves unchecked."""

    test: str
    words: str
    fails: bool = True


FRAMES = "test_frames_come_back_through_the_right_port"
CHANGED = "test_frames_come_back_after_each_change_of_a_link"
RESTART = "test_frames_come_back_after_a_restart"
SUSPENDED = "test_no_frame_comes_back_while_it_is_suspended"
BOUND = "test_a_vm_that_runs_has_its_lports_bound_and_no_former_ones"

CATCHES: Mapping[str, Catch] = {
    "Elsewhere": Catch(FRAMES, "nobody answered ARP for 10.66.0.1 at adapter 0, port 0"),
    "OtherSource": Catch(FRAMES, "answers have to come from there to the port"),
    "Unbound": Catch(FRAMES, "nobody answered ARP for 10.66.0.1 at adapter 0, port 0"),
    "Unrewired": Catch(CHANGED, "after its link was unplugged: 10.66.0.1 answered ARP"),
    "Restless": Catch(SUSPENDED, "while it is suspended: 10.66.0.1 answered ARP"),
    "Unreloaded": Catch(RESTART, "after reload: nobody answered ARP"),
    "OneAdapter": Catch(FRAMES, "nobody answered ARP for 10.66.1.1 at adapter 1, port 0"),
    "Swapped": Catch(FRAMES, "nobody answered ARP for 10.66.0.1 at adapter 0, port 0"),
    "Shrinking": Catch("test_no_setting_takes_away_the_port_of_a_link", "has lost the ports [(0, 0), (1, 0)]"),
    "Ignoring": Catch("test_each_setting_has_an_effect_that_can_be_seen", "no effect was seen of speed", fails=False),
    "HalfBound": Catch(BOUND, "the lport of adapter 1, port 0"),
    "StuckToItsLinks": Catch(BOUND, "adapter 0, port 0 was linked anew, and nothing of the VM has bound"),
    "Unconfined": Catch("test_its_processes_are_confined", "not confined: python", fails=False),
}


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, tuple[bool, str]]:
    """Of each mutant, whether its test failed, and what the kit said of it."""
    folder = tmp_path_factory.mktemp("mutants")
    text = "from labplane.testing import DriverTests\n"
    for mutant, catch in CATCHES.items():
        config = folder / f"{mutant}.toml"
        config.write_text(f'[plugins.hosts]\nclass = "{mutant}"\n')
        options = ("--plugins-dir", str(SPECIMENS), "--config", str(config))
        text += f"\nclass Test{mutant}(DriverTests):\n    kind = 'host'\n    options = {options!r}\n"
        text += "    boots_within = 1.0\n"
        if catch.test in (FRAMES, CHANGED, RESTART, SUSPENDED):
            text += f"    answers = {ANSWERS!r}\n"
    (folder / "test_mutants.py").write_text(text)
    chosen = [f"test_mutants.py::Test{mutant}::{catch.test}" for mutant, catch in CATCHES.items()]
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "--junitxml", "verdicts.xml", *chosen]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    found = {}
    for case in ET.parse(folder / "verdicts.xml").iter("testcase"):  # noqa: S314 - our own
        failure, skipped = case.find("failure"), case.find("skipped")
        told = failure if failure is not None else skipped
        mutant = case.attrib["classname"].removeprefix("test_mutants.Test")
        found[mutant] = failure is not None, "" if told is None else f"{told.attrib['message']}\n{told.text}"
    return found


def test_every_mutant_is_in_the_table() -> None:
    text = (SPECIMENS / "hosts.py").read_text()
    assert re.findall(r"^class (\w+)\((?:Host|Program)\)", text, re.MULTILINE) == list(CATCHES)


@pytest.mark.parametrize("mutant", CATCHES)
def test_a_mutant_is_caught_and_told_what_is_wrong_with_it(mutant: str, said: Mapping[str, tuple[bool, str]]) -> None:
    failed, words = said[mutant]
    assert CATCHES[mutant].words in words
    assert failed is CATCHES[mutant].fails


def test_without_answers_it_is_said_that_frames_are_not_checked(tmp_path: Path) -> None:
    options = ("--plugins-dir", str(SPECIMENS))
    (tmp_path / "test_host.py").write_text(
        "from labplane.testing import DriverTests\n\n"
        f"class TestHost(DriverTests):\n    kind = 'host'\n    options = {options!r}\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-rs", "-W", "error", "-k", f"{FRAMES} or {BOUND}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "not checked: frames. Say in `answers`" in done.stdout
    assert "1 passed, 1 skipped" in done.stdout
