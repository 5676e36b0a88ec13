"""The data directory: one server at a time, nobody else in it, and no file system of the network."""

import os
from collections import namedtuple
from pathlib import Path

import psutil
import pytest

from labplane.errors import Conflict
from labplane.state.directory import LOCK, Lock, make_data_directory, refuse_network

Mount = namedtuple("Mount", ["mountpoint", "fstype"])


def test_one_holder_at_a_time_who_is_named(tmp_path: Path) -> None:
    lock = Lock(tmp_path)
    with pytest.raises(Conflict, match=f"Another labplane, process {os.getpid()}, works in the projects directory"):
        Lock(tmp_path)
    lock.release()
    Lock(tmp_path).release()


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only for root")
def test_a_directory_in_which_no_file_can_be_made_is_locked_itself(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    lock = Lock(tmp_path)
    assert lock.on_directory
    with pytest.raises(Conflict, match="process unknown"):
        Lock(tmp_path)
    with pytest.raises(PermissionError):
        Lock(tmp_path, on_file=True)
    lock.release()
    tmp_path.chmod(0o700)
    assert not (tmp_path / LOCK).exists()


def test_it_is_made_for_its_user_alone_whatever_it_was(tmp_path: Path) -> None:
    directory = make_data_directory(tmp_path)
    directory.chmod(0o755)
    assert make_data_directory(tmp_path).stat().st_mode & 0o777 == 0o700


def test_a_link_or_a_file_in_its_place_is_refused(tmp_path: Path) -> None:
    place, elsewhere = tmp_path / ".labplane", tmp_path / "elsewhere"
    elsewhere.mkdir()
    place.symlink_to(elsewhere)
    with pytest.raises(Conflict, match="must be a directory of the server's own user"):
        make_data_directory(tmp_path)
    place.unlink()
    place.write_text("")
    with pytest.raises(Conflict, match="must be a directory of the server's own user"):
        make_data_directory(tmp_path)


@pytest.mark.parametrize(("fstype", "refused"), [("nfs4", True), ("fuse.sshfs", True), ("ext4", False)])
def test_a_file_system_of_the_network_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fstype: str, refused: bool
) -> None:
    """A table of mounts that says so: no test can have a server of NFS."""
    mounts = [Mount("/", "ext4"), Mount(str(tmp_path), fstype), Mount(str(tmp_path / "other"), "nfs")]
    monkeypatch.setattr(psutil, "disk_partitions", lambda **_: mounts)
    if refused:
        with pytest.raises(Conflict, match=rf"is on a file system of the network \({fstype} at {tmp_path}\)"):
            refuse_network(tmp_path / "projects")
    else:
        refuse_network(tmp_path / "projects")
