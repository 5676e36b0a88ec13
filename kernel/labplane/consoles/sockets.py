"""Sockets of listeners and connections: every address of a name, and keepalive for long connections."""

import errno
import socket
from collections.abc import Iterable
from typing import Any

Place = tuple[socket.AddressFamily, tuple[Any, ...]]

ABSENT = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
ATTEMPTS = 20
PROBES = 4


def bound(places: Iterable[Place]) -> list[socket.socket]:
    """TCP sockets bound at all of these addresses, which have one port; with port 0 at a free one, the same for all.

    An address that this host does not have, as ::1 without IPv6, is passed over while another one can be had. Raises
    OSError when an address is taken or none can be had; no socket is open then.
    """
    wanted = list(dict.fromkeys(places))
    for attempt in range(ATTEMPTS):
        try:
            return _bound(wanted)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or wanted[0][1][1] != 0 or attempt == ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable")


def keep_alive(transport_socket: Any, seconds: int) -> None:
    """Probe the client of an idle TCP connection after that time, and give it up when it does not answer.

    A firewall forgets a connection over which nothing goes for some minutes, and a client that vanished would keep its
    place for two hours, which is the system's own time. Does nothing to other sockets than TCP's.
    """
    if getattr(transport_socket, "family", None) not in (socket.AF_INET, socket.AF_INET6):
        return
    pause = max(1, seconds // PROBES)
    transport_socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        (socket.TCP_KEEPIDLE, seconds),
        (socket.TCP_KEEPINTVL, pause),
        (socket.TCP_KEEPCNT, PROBES),
        (socket.TCP_USER_TIMEOUT, (seconds + pause * PROBES) * 1000),  # for output that nobody acknowledges
    ):
        transport_socket.setsockopt(socket.IPPROTO_TCP, option, value)


def _bound(places: list[Place]) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    absent: OSError | None = None
    try:
        for family, (host, port, *rest) in places:
            one = socket.socket(family, socket.SOCK_STREAM)
            try:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6 and len(places) > 1:
                    one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                one.bind((host, sockets[0].getsockname()[1] if sockets else port, *rest))
            except OSError as error:
                one.close()
                if error.errno not in ABSENT:
                    raise
                absent = error
            else:
                sockets.append(one)
        if absent is not None and not sockets:
            raise absent
    except BaseException:
        for one in sockets:
            one.close()
        raise
    return sockets
