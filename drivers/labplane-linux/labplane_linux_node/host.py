"""What is done on the host's side to make a node: its user, its namespaces and its network cards."""

import array
import fcntl
import os
import signal
import socket
import termios
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from labplane_linux_node import kernel, node
from labplane_linux_node.pump import Card

NAMESPACES = (
    kernel.CLONE_NEWUSER
    | kernel.CLONE_NEWNS
    | kernel.CLONE_NEWPID
    | kernel.CLONE_NEWNET
    | kernel.CLONE_NEWUTS
    | kernel.CLONE_NEWIPC
    | kernel.CLONE_NEWCGROUP
)
STEPS = 4096  # bytes of a sentence between processes


def make(config: Mapping[str, Any], keep_out: Sequence[socket.socket]) -> tuple[int, list[Card]]:
    """A node that runs: the pid of the process whose end ends it, and its cards.

    keep_out: sockets that the node does not get.

    A server of root makes the node's root a user of its own, who owns nothing else on this host. Raises Failed.
    """
    user = config["user"] if os.getuid() == 0 else None
    for folder in node.OWN:
        if os.path.islink(folder):  # its target would be given to the node
            raise kernel.Failed(f"The directory {folder!r} of the VM is a link; remove it.")
        os.makedirs(folder, exist_ok=True)
        if user is not None:
            _give(folder, user)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    fcntl.ioctl(0, termios.TIOCNOTTY)  # the terminal is for the node's shell, which leads a session of its own
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    if pid == 0:
        ours.close()
        for one in keep_out:
            one.close()
        _be_between(theirs, config, is_root=user is not None)
    theirs.close()
    try:
        _hear(ours)  # the namespaces are there
        own = os.getuid() if user is None else user
        _map(pid, own, os.getgid() if user is None else user)
        taps = _in_namespaces(pid, config["macs"], is_root=user is not None)
        ours.send(b"go")
        _hear(ours)  # the node is up
    except BaseException:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise
    finally:
        ours.close()
    return pid, [Card(tap) for tap in taps]


def _hear(line: socket.socket) -> None:
    said = line.recv(STEPS)
    if said != b"done":
        raise kernel.Failed(said.decode(errors="replace") or "The node ended while it was made.")


def _map(pid: int, user: int, group: int) -> None:
    """Make root of the namespace of that process the user and group outside of it."""
    try:
        kernel.write(f"/proc/{pid}/setgroups", "deny")
        kernel.write(f"/proc/{pid}/uid_map", f"0 {user} 1")
        kernel.write(f"/proc/{pid}/gid_map", f"0 {group} 1")
    except OSError as error:
        raise _refused(error) from None


def _refused(error: OSError) -> kernel.Failed:
    return kernel.Failed(
        f"This system lets the user {os.getuid()} have no user namespaces: {error.strerror}. See sysctl "
        "user.max_user_namespaces, kernel.unprivileged_userns_clone and kernel.apparmor_restrict_unprivileged_userns."
    )


def _be_between(line: socket.socket, config: Mapping[str, Any], *, is_root: bool) -> NoReturn:
    """Be the process that has the namespaces, and whose child is process 1 in them."""
    try:
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        if is_root:
            os.setgroups([])
        try:
            kernel.unshare(NAMESPACES)  # still as root, who may where the system keeps others from it
        except OSError as error:
            raise _refused(error) from None
        # In the new namespace, or they could not be mounted; as who we are, since the node's user may not get here.
        folders = [os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC) for name in node.OWN]
        line.send(b"done")
        if line.recv(STEPS) != b"go":
            os._exit(1)
        if is_root:
            os.setresgid(0, 0, 0)  # which is the node's own user from here on
            os.setresuid(0, 0, 0)
            kernel.prctl(kernel.PR_SET_DUMPABLE, 1)  # or its /proc/self is root's outside
            kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)  # which a change of the user takes back
        child = os.fork()
        if child == 0:
            kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
            _be_first(line, config, folders)
        line.close()
        signal.signal(signal.SIGTERM, lambda *_: os.kill(child, signal.SIGKILL))  # all of its namespace end with it
        _, status = os.waitpid(child, 0)
        os._exit(os.waitstatus_to_exitcode(status) & 0xFF)
    except BaseException as error:
        line.send(_sentence(error))
        os._exit(1)


def _be_first(line: socket.socket, config: Mapping[str, Any], folders: Sequence[int]) -> NoReturn:
    try:
        node.run(config, folders, lambda: _tell_up(line))
    except BaseException as error:
        if line.fileno() >= 0:
            line.send(_sentence(error))
        os._exit(1)
    os._exit(0)


def _tell_up(line: socket.socket) -> None:
    line.send(b"done")
    line.close()


def _sentence(error: BaseException) -> bytes:
    if isinstance(error, kernel.Failed):
        return str(error).encode()[:STEPS]
    return f"The node could not be made: {error}.".encode()[:STEPS]


def _in_namespaces(pid: int, macs: list[str], *, is_root: bool) -> list[int]:
    """The cards, opened by the host's user in the node's network: /dev/net/tun may be root's alone."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    helper = os.fork()
    if helper == 0:
        try:
            if not is_root:
                kernel.enter(f"/proc/{pid}/ns/user", kernel.CLONE_NEWUSER)
            kernel.enter(f"/proc/{pid}/ns/net", kernel.CLONE_NEWNET)
            kernel.bring_up("lo")
            for number, mac in enumerate(macs):
                tap = kernel.open_tap(f"eth{number}", mac)
                theirs.sendmsg([b"done"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [tap]))])
                os.close(tap)
        except BaseException as error:
            theirs.send(f"The node can have no network cards: {error}. It needs /dev/net/tun.".encode())
            os._exit(1)
        os._exit(0)
    theirs.close()
    try:
        taps = []
        for _ in macs:
            said, descriptors, _, _ = socket.recv_fds(ours, STEPS, 1)
            if said != b"done":
                raise kernel.Failed(said.decode(errors="replace"))
            taps += descriptors
        return taps
    finally:
        ours.close()
        os.waitpid(helper, 0)


def _give(path: str, user: int) -> None:
    os.lchown(path, user, user)
    for folder, folders, files in os.walk(path):
        for name in (*folders, *files):
            os.lchown(os.path.join(folder, name), user, user)
