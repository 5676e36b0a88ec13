"""What a node's shell can do to the host: each line of the table is an attempt, whoever runs server and nodes."""

import os
import pwd
import re
import socket
import stat
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from labplane.testing.host import KEPT_IN
from support import Viewer, running

SECRET = "the-secret-of-the-host"  # noqa: S105
SYSTEM_PYTHON = Path("/usr/bin/python3")
TUN = Path("/dev/net/tun")
TREE = Path(__file__).parents[3]
ASIDE = Path("/mnt")
NOBODY = pwd.getpwnam("nobody").pw_uid

# A command, and a pattern of what must not be in its output.
ATTEMPTS = {
    "a file in the server's directories": ("cat {root}/secret; cat /proc/1/root{root}/secret", SECRET),
    "a file by way of the home": ("cat /root/../secret ../../secret ../node.json /root/../../labplane.json", SECRET),
    "other files of /etc": (
        "cat /etc/shadow /etc/machine-id; ls /etc/ssh /home /opt /srv /boot",
        r"root:[*!$]|_key|vm",
    ),
    "the host's processes": ("ls /proc | grep -c '^{pid}$'; cat /proc/{pid}/comm", r"^1\r|python"),
    "a signal to the server": ("kill -9 {pid} && echo DONE", r"^DONE"),
    "the program that made the node": (
        "cat /proc/1/environ /proc/1/maps | head -c 99; ls -l /proc/1/root/",
        r"HOME=|work",
    ),
    "the host's TCP ports": ("echo > /dev/tcp/127.0.0.1/{port} && echo DONE", r"^DONE"),
    "the host's abstract sockets": ("grep -c {abstract} /proc/net/unix", r"^[1-9]"),
    "the host's network cards": ("ip -o link | grep -vc -e ' lo:' -e ' eth[0-3]:'", r"^[1-9]"),
    "another network namespace": ("nsenter -t 1 -n true && echo DONE; ip netns exec x true && echo DONE", r"^DONE"),
    "namespaces of its own": ("unshare -m true && echo DONE", r"^DONE"),
    "a mount": ("mount -t tmpfs x /root && echo DONE; mount -o remount,rw /usr && echo DONE", r"^DONE"),
    "a device": ("mknod /root/sda b 8 0 && echo DONE; mknod /dev/mem c 1 1 && echo DONE", r"^DONE"),
    "the kernel's settings": (
        "(echo x > /proc/sys/kernel/core_pattern) && echo DONE; (echo 1 > /proc/sys/vm/drop_caches) && echo DONE;"
        "(echo b > /proc/sysrq-trigger) && echo DONE",
        r"^DONE",
    ),
    "the kernel's log": ("dmesg && echo DONE; cat /dev/kmsg && echo DONE", r"^DONE"),
    "a module": ("modprobe dummy && echo DONE; insmod /x.ko && echo DONE", r"^DONE"),
    "the host's programs": ("(echo x >> /usr/bin/env) && echo DONE; rm -f /usr/bin/vpcs && echo DONE", r"^DONE"),
    "the clock and the machine": ("date -s 2000-01-01 > /dev/null && echo DONE; reboot -f && echo DONE", r"^DONE"),
    "the root of before": ("chroot /proc/1/root true && echo DONE; ls /old /proc/1/cwd/ && echo DONE", r"^DONE"),
    "a program that gives rights": (
        "su root -c 'cat {root}/secret'",
        SECRET,
    ),
    "more processes than its share": (
        "perl -e 'for (1..3000) {{ defined($p = fork) or last; sleep(20), exit if !$p; push @p, $p }} "
        'print @p > 600 ? "DONE" : "stopped", "\\n"; kill 9, @p\'',
        r"^DONE",
    ),
}


@pytest.fixture(scope="module", params=["root", "user", "ordinary"])
def shell(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Viewer, dict[str, Any]]]:
    """A node's shell and what there is to reach.

    The server is root; or root, and has emulators run by the user nobody; or an ordinary user, who is nobody.
    """
    root = tmp_path_factory.mktemp(request.param)
    options, within = ["--strict", "--config", str(root / "labplane.toml")], []
    lines = ["[plugins.nat]", "allow = true"]
    if request.param != "root":
        if os.getuid() != 0:
            pytest.skip("only root can have another user run something")
        within = for_all(root)
    if request.param == "ordinary":
        within += as_nobody(root)
    if request.param == "user":
        if not SYSTEM_PYTHON.exists():
            pytest.skip("needs a Python that all may execute")
        python = f'python = "{SYSTEM_PYTHON}"'
        lines = ['user = "nobody"', *lines, python, "[plugins.linux]", python]
    (root / "labplane.toml").write_text("\n".join(lines))
    (root / "secret").write_text(SECRET)
    with (
        socket.socket(socket.AF_UNIX) as abstract,
        running(root / "projects", *options, within=within) as server,
        ExitStack() as stack,
    ):
        abstract.bind(f"\0labplane-{os.getpid()}")
        project = server.project()
        vm = server.vm(project, "H", kind="linux", frr_conf="router ospf\n")
        for one in (vm, server.vm(project, "N", kind="nat")):
            reply = server.http.post(f"{one}/start")
            assert reply.status_code == 204, reply.text
        owners = {Path(f"/proc/{pid}").stat().st_uid for pid in server.children()}
        assert owners == {os.getuid() if request.param == "root" else NOBODY}
        viewer = stack.enter_context(Viewer(server.http.get(vm).json()["console"]))
        viewer.until(b"H:~# ")
        viewer.type("PS1='$ '; stty -echo")
        viewer.until(b"$ ")
        names = {"root": root, "pid": server.process.pid, "port": server.port, "abstract": f"labplane-{os.getpid()}"}
        yield viewer, names
        server.stop()
        os.chown(server.projects / KEPT_IN, os.getuid(), os.getgid())  # or we may not ask whether anything is left


def for_all(root: Path) -> list[str]:
    """A command that runs another one where everybody reaches `root`, this Python, this tree and /dev/net/tun.

    Only that one sees it so. What is in a closed directory is shown in an open one of the same name.
    """
    root.chmod(0o755)
    os.mknod(root / "tun", stat.S_IFCHR | 0o666, os.makedev(10, 200))
    (root / "tun").chmod(0o666)  # as udev makes it
    needed = [Path(sys.base_prefix), Path(sys.prefix), TREE, root]
    closed = {place for path in needed for place in path.parents if not place.stat().st_mode & stat.S_IXOTH}
    hidden = [path for path in needed if closed & set(path.parents)]
    steps = [f"mount --bind {root}/tun {TUN}", f"mount -t tmpfs none {ASIDE}"]
    steps += [f"mkdir {ASIDE}/{number} && mount --bind {path} {ASIDE}/{number}" for number, path in enumerate(hidden)]
    steps += [f"mount -t tmpfs -o mode=755 none {place}" for place in closed if not closed & set(place.parents)]
    steps += [f"mkdir -p {path} && mount --bind {ASIDE}/{number} {path}" for number, path in enumerate(hidden)]
    return ["unshare", "-m", "sh", "-c", " && ".join([*steps, 'exec "$@"']), "sh"]


def as_nobody(root: Path) -> list[str]:
    """A command that runs another one as nobody."""
    (root / "projects").mkdir()
    os.chown(root / "projects", NOBODY, NOBODY)
    return ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "env", f"HOME={root}"]


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_it_does_not_reach(attempt: str, shell: tuple[Viewer, dict[str, Any]]) -> None:
    viewer, names = shell
    command, reached = ATTEMPTS[attempt]
    viewer.type(f"{{ {command.format(**names)}; }} 2>&1; echo E''ND")
    output = viewer.until(b"END").decode(errors="replace")
    assert not re.search(reached, output, re.MULTILINE), output


def test_what_is_asked_above_can_be_answered(shell: tuple[Viewer, dict[str, Any]]) -> None:
    """The same means, where they may work: otherwise the attempts above would prove nothing."""
    viewer, _ = shell
    viewer.type(
        "{ ls /usr/bin/env; cat /proc/1/comm; ls /proc | grep '^1$'; ip -o link | grep -c eth; } 2>&1; echo E''ND"
    )
    output = viewer.until(b"END").decode()
    lines = {line.strip().removeprefix("$ ") for line in output.splitlines()}
    assert {"/usr/bin/env", "1", "4"} <= lines, output
