"""A Linux of its own for tests that need another kernel than this host's: QEMU, Debian's kernel, and this Python."""

import compileall
import importlib.metadata
import os
import re
import shutil
import stat
import subprocess
import sysconfig
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement

from guests import BUSYBOX, GUESTS, Entry, archive, require_guests

TREE = Path(__file__).parents[2]
QEMU = "qemu-system-x86_64"
VPCS = shutil.which("vpcs")
PARTS = ("kernel", "client", "plugins", "tests/helpers", "tests/guest", "contrib")
NEVER = re.compile(
    r"/(site-packages|dist-packages|test|tests|idlelib|tkinter|lib2to3|ensurepip|turtledemo|config-[^/]+)$"
)
MERGED = ("bin", "sbin", "lib", "lib64")
ALWAYS = ("dev", "proc", "sys")
DISTRIBUTIONS = ("labplane[testing]", "pytest-timeout")
INIT = """#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin:/usr/bin HOME=/root
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm /tmp /root /run; mount -t devpts devpts /dev/pts; chmod 1777 /tmp
mount -t cgroup2 cgroup2 /sys/fs/cgroup
ip link set lo up
cd {tree}
{command}
echo "{over} $?"
poweroff -f
"""
SYSTEMD_UNIT = """[Unit]
After=basic.target systemd-journald.service
Requires=basic.target
[Service]
Type=oneshot
ExecStart=/bin/sh /script
TimeoutStartSec=infinity
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS0
"""
SYSTEMD_SCRIPT = """export PATH=/bin:/usr/bin:/usr/sbin:/sbin HOME=/root
ip link set lo up
cd {tree}
{command}
echo "{over} $?"
busybox poweroff -f
"""
PROGRAM = stat.S_IFREG | 0o755
OVER = "the guest has ended with"


class Guest:
    """What a guest printed, and the exit status of its command."""

    def __init__(self, output: str, status: int) -> None:
        self.output, self.status = output, status


def run_in_guest(folder: Path, command: str, seconds: float, *, systemd: bool = False) -> Guest:
    """Run a line of shell in the root of the tree, in a guest without a disk whose only program is that, as root.

    folder:  where the guest is made.
    systemd: whether this host's systemd is its first program, and starts that as a service.

    It takes no KVM, which crawls or hangs on some hosts; what it runs takes ten times as long as on the host. Skips the
    test when there is no QEMU, or no kernel for a guest.
    """
    require_guests()
    if shutil.which(QEMU) is None:
        pytest.skip(f"There is no {QEMU} here; ./run tests fetches it.")
    if systemd and not Path("/lib/systemd/systemd").exists():
        pytest.skip("There is no systemd here.")
    (kernel,) = (GUESTS / "boot").glob("vmlinuz-*")
    named = {"tree": TREE, "command": command, "over": OVER}
    first = list(_systemd(named)) if systemd else [Entry("init", PROGRAM, INIT.format(**named).encode())]
    initrd = folder / "initrd"
    initrd.write_bytes(archive(_with_folders([*first, *_files()])))
    machine = ["-machine", "q35,accel=tcg", "-cpu", "max", "-smp", "2", "-m", "1G", "-no-reboot"]
    line = "console=ttyS0 quiet panic=-1 mitigations=off cgroup_no_v1=all"
    boot = ["-kernel", str(kernel), "-initrd", str(initrd), "-append", line]
    words = [QEMU, "-nodefaults", "-display", "none", "-serial", "stdio", *machine, *boot]
    begun = time.monotonic()
    try:
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired as error:
        pytest.fail(f"The guest did not end within {seconds:g} s:\n{(error.stdout or b'').decode(errors='replace')}")
    finally:
        initrd.unlink()
    output = done.stdout.decode(errors="replace").replace("\r\n", "\n")
    found = re.search(rf"^{OVER} (\d+)$", output, re.MULTILINE)
    assert found, f"after {time.monotonic() - begun:.0f} s: {output[-4000:]}\n{done.stderr.decode(errors='replace')}"
    return Guest(output, int(found[1]))


def _files() -> Iterator[Entry]:
    """Python with what labplane and its tests need, at the places where all that is here."""
    yield Entry("bin/busybox", PROGRAM, BUSYBOX.read_bytes())
    yield Entry("bin/sh", stat.S_IFLNK | 0o777, b"busybox")
    yield Entry(
        "etc/passwd",
        stat.S_IFREG | 0o644,
        b"root:x:0:0:root:/root:/bin/sh\nlabplane:x:999:999::/var/lib/labplane:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n",
    )
    yield Entry("etc/group", stat.S_IFREG | 0o644, b"root:x:0:\nlabplane:x:999:\nnogroup:x:65534:\n")
    for part in PARTS:
        compileall.compile_dir(TREE / part, quiet=2)
    found = [path for part in PARTS for path in _below(TREE / part)]
    found += [TREE / "pyproject.toml", *_below(Path(sysconfig.get_path("stdlib")))]
    for distribution in _closure(DISTRIBUTIONS):
        found += [
            Path(str(file.locate())) for file in distribution.files or () if "site-packages" in str(file.locate())
        ]
    scripts = Path(sysconfig.get_path("scripts"))
    found += [*scripts.glob("python*"), scripts / "labplane", scripts.parent / "pyvenv.cfg"]
    found += Path(sysconfig.get_path("purelib")).glob("*editable*")
    program = scripts / "python"
    while program.is_symlink():
        program = program.parent / os.readlink(program)
        found.append(program)
    programs = [program, *([Path(VPCS)] if VPCS else [])]
    found += programs
    binaries = [*programs, *(path for path in found if ".so" in path.suffixes)]
    found += map(Path, sorted(_libraries(binaries)))
    yield from _entries(found)


def _entries(paths: Iterable[Path]) -> Iterator[Entry]:
    for path in dict.fromkeys(Path(os.path.normpath(path)) for path in paths):
        if path.is_symlink() and not re.search(r"\.so\b", path.name):
            yield Entry(str(path)[1:], stat.S_IFLNK | 0o777, os.readlink(path).encode())
        elif path.is_file():
            its = path.stat()
            yield Entry(str(path)[1:], stat.S_IFREG | its.st_mode & 0o777, path.read_bytes(), int(its.st_mtime))


def _systemd(named: Mapping[str, object]) -> Iterator[Entry]:
    """systemd of this host, and units that run the script."""
    plain = stat.S_IFREG | 0o644
    yield Entry("init", stat.S_IFLNK | 0o777, b"/lib/systemd/systemd")
    yield Entry("script", plain, SYSTEMD_SCRIPT.format(**named).encode())
    yield Entry("etc/systemd/system/guest.service", plain, SYSTEMD_UNIT.encode())
    yield Entry("etc/systemd/system/default.target", plain, b"[Unit]\nRequires=guest.service\n")
    yield Entry("etc/machine-id", plain, b"00000000000000000000000000000001\n")
    yield Entry("etc/os-release", plain, b"ID=guest\n")
    yield Entry("etc/tmpfiles.d/tmp.conf", plain, b"# Debian's empties /tmp, where the tree may be.\n")
    for name in (
        "true",
        "ip",
        "cat",
        "sleep",
        "ls",
        "mount",
        "chmod",
        "grep",
        "ps",
        "kill",
        "id",
        "tail",
        "wget",
        "sed",
        "tr",
        "mkdir",
        "ln",
        "cp",
        "stat",
        "nc",
    ):
        yield Entry(f"bin/{name}", stat.S_IFLNK | 0o777, b"busybox")
    told = subprocess.run(["dpkg", "-L", "systemd"], capture_output=True, text=True, check=True).stdout
    wanted = [
        path for path in map(Path, told.splitlines()) if not re.match("/usr/share|/usr/lib/systemd/tests", str(path))
    ]
    wanted = [Path(os.path.realpath(path.parent)) / path.name for path in wanted if path.is_file() or path.is_symlink()]
    programs = [path for path in wanted if path.is_file() and (".so" in path.suffixes or os.access(path, os.X_OK))]
    yield from _entries([*wanted, *map(Path, sorted(_libraries(programs)))])


def _below(folder: Path) -> Iterator[Path]:
    for place, folders, files in os.walk(folder):
        folders[:] = [one for one in folders if not NEVER.search(f"{place}/{one}")]
        yield from (Path(place) / one for one in files)


def _closure(names: Sequence[str]) -> list[importlib.metadata.Distribution]:
    """The distributions of these names and all that they require."""
    found: dict[str, importlib.metadata.Distribution] = {}
    asked, wanted = set(), [Requirement(name) for name in names]
    while wanted:
        one = wanted.pop()
        if str(one) in asked:
            continue
        asked.add(str(one))
        found[one.name] = distribution = importlib.metadata.distribution(one.name)
        extras = (*one.extras, "")
        required = map(Requirement, distribution.requires or ())
        wanted += [more for more in required if more.marker is None or _holds(more.marker, extras)]
    return list(found.values())


def _holds(marker: Marker, extras: Iterable[str]) -> bool:
    return any(marker.evaluate({"extra": extra}) for extra in extras)


def _libraries(programs: Iterable[Path]) -> set[str]:
    """The shared libraries of these programs and libraries."""
    done = subprocess.run(["ldd", *map(str, programs)], capture_output=True, text=True, check=False)
    return set(re.findall(r"(/\S+) \(0x", done.stdout))


def _with_folders(files: Iterable[Entry]) -> Iterator[Entry]:
    """These files with the folders that they are in; those of the system are below /usr, as Debian has them."""
    made = {".", *ALWAYS}
    yield from (Entry(name, stat.S_IFDIR | 0o755, b"") for name in ALWAYS)
    yield from (Entry(name, stat.S_IFLNK | 0o777, f"usr/{name}".encode()) for name in MERGED)
    for one in files:
        name = f"usr/{one.name}" if one.name.startswith(tuple(f"{name}/" for name in MERGED)) else one.name
        for folder in map(str, reversed(Path(name).parents)):
            if folder not in made:
                made.add(folder)
                yield Entry(folder, stat.S_IFDIR | 0o755, b"")
        yield one._replace(name=name)
