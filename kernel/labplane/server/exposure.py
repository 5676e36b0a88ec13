"""Who can reach the server: this host alone, unless it has authentication and encryption, or somebody insists."""

import ipaddress

from labplane.settings import Settings, SettingsError


class Exposed(SettingsError):
    """The settings would let in whoever reaches the server; the text says what to do."""


def check(settings: Settings) -> Settings:
    """The settings, as they are. Raises Exposed unless they keep strangers out."""
    if not settings.insecure and settings.uds is None and not is_loopback(settings.host):
        lacking = [
            *(["authentication (--auth token)"] if settings.auth == "off" else []),
            *(["encryption (--certfile and --keyfile)"] if settings.certfile is None else []),
        ]
        if lacking:
            raise Exposed(
                f"{settings.source}: with 'host' {settings.host} whoever reaches it runs programs on this machine. "
                f"It needs {' and '.join(lacking)}; or let in everybody who comes with --insecure."
            )
    if not (settings.insecure or settings.insecure_consoles or is_loopback(settings.console_host)):
        raise Exposed(
            f"{settings.source}: with 'console_host' {settings.console_host} whoever reaches a console can type there, "
            "since telnet knows no authentication. Reach consoles through the WebSocket …/vms/{vm_id}/console "
            "instead; or let in everybody who comes with --insecure-consoles."
        )
    return settings


def describe(settings: Settings) -> str:
    """One line for the log that says who can reach the server."""
    if settings.uds is not None:
        who = f"who may enter the directory of {settings.uds}"
    elif is_loopback(settings.host):
        who = "every user of this host"
    else:
        who = f"whoever reaches {settings.host}"
    how = "with the token" if settings.auth == "token" else "without authentication"
    line = f"HTTP: {who}, {how}{', encrypted' if settings.certfile else ''}"
    consoles = (
        "every user of this host" if is_loopback(settings.console_host) else f"whoever reaches {settings.console_host}"
    )
    return f"{line}; consoles by telnet: {consoles}, without authentication"


def is_loopback(name: str) -> bool:
    """True for an address of loopback and for the names that it always has; other names are not looked up."""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
