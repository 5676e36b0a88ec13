"""Cgroups of runs: which one is taken, which limits are written; and all that they do, on a Linux of its own."""

from pathlib import Path
from typing import Any

import pytest

from labplane.emulators.limits import Limiting, Limits, out_of_memory
from labplane_keeper.groups import OWN, base_of, limits, path_of
from linux_guest import run_in_guest

MOUNTS = "22 1 0:20 / /proc rw - proc proc rw\n35 24 0:30 {root} {mount} rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
SERVICE = "/system.slice/labplane.service"
MIB = 1024 * 1024


@pytest.mark.timeout(450)
def test_cgroups_limit_end_and_clean_up_on_a_linux_that_lets_them(tmp_path: Path) -> None:
    """All of tests/guest/cgroups.py. This host may have no cgroup for tests, and its own are none of theirs."""
    pytest_ = "PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 .venv/bin/python -m pytest -p pytest_timeout -p no:cacheprovider"
    options = "--noconftest --color=no --override-ini=addopts=--import-mode=importlib -v --tb=short"
    guest = run_in_guest(tmp_path, f"{pytest_} {options} tests/guest/cgroups.py 2>&1", 390)
    assert guest.status == 0, guest.output
    assert " 13 passed" in guest.output


@pytest.mark.parametrize(
    ("own", "root", "mount", "path"),
    [
        ("0::/system.slice/a.service", "/", "/sys/fs/cgroup", "/sys/fs/cgroup/system.slice/a.service"),
        ("12:cpu:/x\n0::/a", "/", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/unified/a"),
        ("0::/", "/", "/sys/fs/cgroup", "/sys/fs/cgroup"),
        ("0::/docker/1/x", "/docker/1", "/sys/fs/cgroup", "/sys/fs/cgroup/x"),
        ("0::/docker/1", "/docker/1", "/sys/fs/cgroup", "/sys/fs/cgroup"),
        ("0::/a", "/", "/with\\040space", "/with space/a"),
    ],
)
def test_the_own_cgroup_is_found_where_it_is_mounted(own: str, root: str, mount: str, path: str) -> None:
    assert path_of(own + "\n", MOUNTS.format(root=root, mount=mount)) == path


@pytest.mark.parametrize(
    ("own", "mounts"),
    [
        ("12:cpu:/x\n", MOUNTS.format(root="/", mount="/sys/fs/cgroup")),
        ("0::/a\n", "35 24 0:30 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"),
        ("0::/dockers\n", MOUNTS.format(root="/docker", mount="/sys/fs/cgroup")),
        ("", ""),
    ],
)
def test_without_a_cgroup_that_is_mounted_there_is_none(own: str, mounts: str) -> None:
    with pytest.raises(FileNotFoundError, match="no cgroup2 file system"):
        path_of(own, mounts)


def test_the_cgroup_above_is_taken_by_who_is_where_a_keeper_and_its_server_are_put() -> None:
    assert base_of(f"{SERVICE}/{OWN}", [1, 2], 2, systemd=True) == SERVICE
    assert base_of(SERVICE, [1, 2], 2, systemd=False) == SERVICE
    assert base_of(SERVICE, [1], 2, systemd=True) == SERVICE, "the keeper's own unit"
    assert base_of("/user.slice/run-1.scope", [1, 2], 2, systemd=True) == "/user.slice/run-1.scope"
    with pytest.raises(OSError, match=f"DelegateSubgroup={OWN}"):
        base_of(SERVICE, [1, 2], 2, systemd=True)


@pytest.mark.parametrize(
    ("group", "more", "files"),
    [
        ({}, 0, {}),
        ({"memory": None, "processors": None, "processes": None}, 1, {}),
        ({"memory": 64 * MIB}, 0, {"memory.max": "67108864", "memory.oom.group": "1"}),
        ({"processors": 0.5}, 0, {"cpu.max": "50000 100000"}),
        ({"processors": 0.0001}, 0, {"cpu.max": "1000 100000"}),  # Linux takes no less
        ({"processes": 7}, 1, {"pids.max": "8"}),
    ],
)
def test_limits_are_written_as_linux_reads_them(group: dict[str, Any], more: int, files: dict[str, str]) -> None:
    assert dict(limits(group, ["memory", "cpu", "pids"], more)) == files
    assert dict(limits(group, [], more)) == {}


def test_of_two_limits_the_stricter_counts() -> None:
    assert Limits(5, None, 3).within(Limits(4, 0.5, None)) == Limits(4, 0.5, 3)
    assert Limits().within(Limits()) == Limits()


def test_what_cannot_be_limited_is_named_with_the_reason() -> None:
    wanted = Limits(memory=64 * MIB, processors=0.5)
    assert Limiting(("memory", "cpu", "pids")).lacking(wanted) is None
    assert Limiting(reason="x").lacking(Limits()) is None
    assert Limiting(reason="x").lacking(wanted) == "no limit of memory (64 MiB), processors (0.5): x"
    assert Limiting(("memory",)).lacking(wanted) == "no limit of processors (0.5): of cgroups there are memory only"


@pytest.mark.parametrize(("limit", "words"), [(None, ""), (0, "of the system."), (64 * MIB, "of 64 MiB that it may")])
def test_an_end_for_want_of_memory_says_whose_it_was(limit: int | None, words: str) -> None:
    assert words in out_of_memory(limit)
