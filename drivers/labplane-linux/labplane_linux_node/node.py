"""The node from inside, as process 1 of its namespaces: its files, its startup script, FRR, and a shell for ever."""

import fcntl
import os
import resource
import signal
import socket
import sys
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from labplane_linux_node import filters, kernel

ROOT = "/tmp"  # where the new root is put together, in a mount namespace of our own
SYSTEM = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
READ = ("ld.so.cache", "alternatives", "protocols", "services", "iproute2", "terminfo")
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
HIDDEN = ("usr/local", "usr/src")
OWN, PLACES = ("home", "frr"), ("/root", "/etc/frr")  # directories of the VM, which stay from start to start
FRR = "/usr/lib/frr"
PATH = "/usr/sbin:/usr/bin:/sbin:/bin:/usr/lib/frr"
MOST_PROCESSES = 512
CHANGED_SIGNALS = (signal.SIGHUP, signal.SIGPIPE, signal.SIGINT, signal.SIGTERM)
TOO_SOON, TOO_OFTEN = 1.0, 5
USERS = "root:x:0:0::/root:/bin/sh\nfrr:x:0:0::/:/bin/false\n"
GROUPS = "root:x:0:\nfrr:x:0:\nfrrvty:x:0:\ntty:x:5:\n"


def run(config: Mapping[str, Any], folders: Sequence[int], up: Callable[[], None]) -> None:
    """Be process 1 until its shell ends again and again.

    folders: the directories `OWN`, open.
    up:      called when the node has its files and nothing of the host's.
    """
    os.umask(0o022)
    _build(config, folders)
    _confine()
    up()
    environment = {"PATH": PATH, "HOME": "/root", "TERM": "vt100", "USER": "root", "LANG": "C.UTF-8"}
    environment["PS1"] = r"\h:\w# " if os.path.exists("/bin/bash") else f"{config['hostname']}# "
    if config["startup_script"]:
        _call(["/bin/sh", "/etc/startup.sh"], environment)
    if config["daemons"]:
        _start_frr(config["daemons"], environment)
    _offer_shells(environment)


def _build(config: Mapping[str, Any], folders: Sequence[int]) -> None:
    kernel.mount("none", "/", flags=kernel.MS_REC | kernel.MS_PRIVATE)
    safe = kernel.MS_NOSUID | kernel.MS_NODEV
    kernel.mount("tmpfs", ROOT, "tmpfs", safe, "size=32m,mode=755")
    for name in ("usr", "etc", "dev", "dev/pts", "proc", "root", "run", "run/frr", "tmp", "var", "var/log", "old"):
        os.mkdir(f"{ROOT}/{name}")
    os.symlink("/run", f"{ROOT}/var/run")
    os.symlink("/tmp", f"{ROOT}/var/tmp")
    _show("/usr", f"{ROOT}/usr")
    for name in SYSTEM:
        if os.path.islink(f"/{name}"):
            os.symlink(os.readlink(f"/{name}"), f"{ROOT}/{name}")
        elif os.path.isdir(f"/{name}"):
            os.mkdir(f"{ROOT}/{name}")
            _show(f"/{name}", f"{ROOT}/{name}")
    for name in HIDDEN:
        if os.path.isdir(f"{ROOT}/{name}"):
            kernel.mount("tmpfs", f"{ROOT}/{name}", "tmpfs", safe | kernel.MS_RDONLY, "size=4k")
    for name in READ:
        _show_if_there(f"/etc/{name}", f"{ROOT}/etc/{name}")
    for name in DEVICES:
        kernel.write(f"{ROOT}/dev/{name}", "")
        kernel.mount(f"/dev/{name}", f"{ROOT}/dev/{name}", flags=kernel.MS_BIND)
    kernel.mount("devpts", f"{ROOT}/dev/pts", "devpts", kernel.MS_NOSUID | kernel.MS_NOEXEC, "newinstance,ptmxmode=666")
    os.symlink("pts/ptmx", f"{ROOT}/dev/ptmx")
    for name, place in (("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")):
        os.symlink(place, f"{ROOT}/dev/{name}")
    kernel.mount("proc", f"{ROOT}/proc", "proc", safe | kernel.MS_NOEXEC)
    _write_etc(f"{ROOT}/etc", config)
    for own, place in zip(folders, PLACES, strict=True):
        kernel.mount(f"/proc/self/fd/{own}", f"{ROOT}{place}", flags=kernel.MS_BIND)
        kernel.mount("none", f"{ROOT}{place}", flags=kernel.MS_REMOUNT | kernel.MS_BIND | safe)
        os.close(own)
    kernel.pivot_root(ROOT, f"{ROOT}/old")
    os.chdir("/")
    kernel.unmount("/old")
    os.rmdir("/old")
    socket.sethostname(config["hostname"])
    _replace("/etc/frr/vtysh.conf", "service integrated-vtysh-config\n")  # only here no link leads to the host
    os.chdir("/root")


def _write_etc(etc: str, config: Mapping[str, Any]) -> None:
    name = config["hostname"]
    texts = {
        "passwd": USERS,
        "group": GROUPS,
        "hostname": f"{name}\n",
        "hosts": f"127.0.0.1 localhost {name}\n::1 localhost\n",
        "nsswitch.conf": "hosts: files dns\n",
        "inputrc": "set enable-bracketed-paste off\n",  # its marks would stand in logs and before prompts
        "pam.d/other": "auth required pam_permit.so\naccount required pam_permit.so\n",  # vtysh asks
        "startup.sh": config["startup_script"] or "",
    }
    os.mkdir(f"{etc}/frr")
    os.mkdir(f"{etc}/pam.d")
    for place, text in texts.items():
        kernel.write(f"{etc}/{place}", text)


def _replace(path: str, text: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(path)
    kernel.write(path, text)


def _show(source: str, target: str) -> None:
    """Let the node see `source`, and change nothing there."""
    kernel.mount(source, target, flags=kernel.MS_BIND | kernel.MS_REC)
    kept = os.statvfs(target).f_flag & (kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC)
    kernel.mount("none", target, flags=kernel.MS_REMOUNT | kernel.MS_BIND | kernel.MS_RDONLY | kernel.MS_NOSUID | kept)


def _show_if_there(source: str, target: str) -> None:
    if os.path.isdir(source):
        os.mkdir(target)
    elif os.path.exists(source):
        kernel.write(target, "")
    else:
        return
    _show(source, target)


def _confine() -> None:
    """Give up what no shell and no router needs, and what would lead back to the host's kernel."""
    for number in filters.CAPABILITIES:
        with suppress(OSError):  # this kernel does not have it
            kernel.prctl(kernel.PR_CAPBSET_DROP, number)
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)  # this process was the host's: nobody reads it in /proc
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    resource.setrlimit(resource.RLIMIT_NPROC, (MOST_PROCESSES, MOST_PROCESSES))
    filters.install()


def _start_frr(daemons: list[str], environment: Mapping[str, str]) -> None:
    for place in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
        with suppress(FileNotFoundError):  # this kernel has no IPv6
            kernel.write(f"/proc/sys/net/{place}", "1")
    for name in daemons:
        if _returncode(_spawn([f"{FRR}/{name}", "-d", "-A", "127.0.0.1"], environment)) != 0:
            print(f"FRR's {name} did not start.", flush=True)
    if os.path.exists("/etc/frr/frr.conf"):
        _call(["/usr/bin/vtysh", "-b"], environment)


def _call(command: list[str], environment: Mapping[str, str]) -> None:
    _returncode(_spawn(command, environment))


def _spawn(command: list[str], environment: Mapping[str, str]) -> int | None:
    """Start that program, with nothing to read; its pid."""
    nothing = (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0)
    try:
        return os.posix_spawn(command[0], command, environment, file_actions=[nothing], setsigdef=CHANGED_SIGNALS)
    except OSError as error:
        print(f"{command[0]} cannot be executed: {error.strerror}.", flush=True)
        return None


def _returncode(pid: int | None) -> int | None:
    return None if pid is None else os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _offer_shells(environment: Mapping[str, str]) -> None:
    """Run a shell on the console, and another one whenever it ends; reap what has lost its parent."""
    shell = "/bin/bash" if os.path.exists("/bin/bash") else "/bin/sh"
    too_soon = 0
    while too_soon < TOO_OFTEN:
        begun = time.monotonic()
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            try:
                os.setsid()
                fcntl.ioctl(0, termios.TIOCSCTTY, 0)
                for number in CHANGED_SIGNALS:
                    signal.signal(number, signal.SIG_DFL)
                os.execve(shell, [shell, "-i"], dict(environment))
            finally:
                os._exit(127)
        while os.wait()[0] != pid:
            pass
        too_soon = too_soon + 1 if time.monotonic() - begun < TOO_SOON else 0
