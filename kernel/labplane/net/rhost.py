"""The far end of a link: the host that a request names, resolved to an IPv4 address (N-4)."""

import asyncio
import ipaddress
import re
import socket

from labplane.errors import BadRequest, Conflict

PATIENCE = 5.0

_host_name = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(\.(?!-)[A-Za-z0-9_-]{1,63})*\.?\Z")
_numeric_end = re.compile(r"(.*\.)?[0-9]+\.?\Z")


async def resolve_rhost(rhost: str) -> str:
    """The IPv4 address of `rhost` as a dotted quad, resolved off the event loop.

    Raises BadRequest for what can be no address and no name, Conflict for a name that has no IPv4 address now.
    """
    if (address := _address(rhost)) is not None:
        return address
    try:
        async with asyncio.timeout(PATIENCE):
            found = await asyncio.get_running_loop().getaddrinfo(
                rhost, None, family=socket.AF_INET, type=socket.SOCK_DGRAM
            )
    except (OSError, TimeoutError, UnicodeError):
        raise Conflict(f"The host {rhost!r} has no IPv4 address that can be found now.") from None
    resolved = str(found[0][4][0])
    if resolved == "255.255.255.255":
        raise Conflict(f"The host {rhost!r} resolves to the broadcast address.")
    return resolved


def _address(rhost: str) -> str | None:
    if _numeric_end.match(rhost):
        try:
            address = ipaddress.IPv4Address(rhost)
        except ValueError:
            raise BadRequest(f"'rhost' {rhost[:60]!r} is no IPv4 address of the form 192.0.2.1.") from None
        if address == ipaddress.IPv4Address("255.255.255.255"):
            raise BadRequest("'rhost' must not be the broadcast address.")
        return str(address)
    if len(rhost) > 253 or not _host_name.match(rhost):
        raise BadRequest(f"'rhost' {rhost[:60]!r} is neither an IPv4 address nor a host name.")
    return None
