"""``labplane-server``: the command that the desktop program of GNS3 1.x starts as its local server.

It takes the options and INI files of gns3server 1.3.13 (main.py, config.py) and 1.5.4 (run.py, config.py). The desktop
program starts it in its gns3/servers.py.
"""

import ipaddress
import logging
import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from labplane.server import (
    Exposed,
    PluginError,
    Settings,
    SettingsError,
    ensure_utf8,
    read_settings as read_labplane_settings,
    serve,
    set_up_logging,
    settings_variables,
)
from labplane_gns3.ini import Ini

log = logging.getLogger("labplane.gns3_server")

FILE = "gns3_server.conf"
FIRST_VERSION = "1.3.dev1"


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--host", help="Address for HTTP [default: 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), help="TCP port for HTTP [default: 8000]")
@click.option(
    "-L", "--local", is_flag=True, help="The client runs on this host: it may choose paths and stop the server"
)
@click.option("-A", "--allow", is_flag=True, help="Consoles listen on every address")
@click.option("-d", "--debug", is_flag=True, help="Log more")
@click.option("--insecure", is_flag=True, help="Listen where strangers are without authentication or TLS")
@click.option("--controller", is_flag=True, expose_value=False, help="Taken and without effect")
@click.option("--log", "log_file", type=click.Path(dir_okay=False, path_type=Path), help="Log there, not to stderr")
@click.option("--pid", "pid_file", type=click.Path(dir_okay=False, path_type=Path), help="Keep the process id there")
@click.option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    help=f"The only INI file to read [default: ~/.config/GNS3/{FILE} and those of the system]",
)
@click.version_option(FIRST_VERSION, "-v", "--version", message="%(version)s")
def main(config: Path | None, log_file: Path | None, pid_file: Path | None, debug: bool, **options: Any) -> None:
    """labplane as the local server of GNS3 1.x, with its options and its INI file."""
    ensure_utf8()
    level = "debug" if debug else None

    def read() -> Settings:
        return read_settings(config, os.environ, {**options, "log_level": level})

    try:
        set_up_logging(level or "info", log_file)
    except OSError as error:
        raise click.ClickException(f"the log {log_file} cannot be written: {error.strerror}") from None
    try:
        serve(read, _kept(pid_file))
    except (SettingsError, PluginError) as error:
        if log_file is not None:
            log.critical("%s", error)
        raise (click.UsageError if isinstance(error, Exposed) else click.ClickException)(str(error)) from None


def read_settings(config: Path | None, environment: Mapping[str, str], options: Mapping[str, Any]) -> Settings:
    """labplane.toml, then the INI files, then LABPLANE_* variables, then the options; the last one wins.

    config:      the only INI file to read; by default those that GNS3 has.
    environment: variables, of which those that begin with LABPLANE_ count.
    options:     host, port, local, allow, insecure, log_level; None, False and "" mean not given.

    Raises SettingsError.
    """
    toml = environment.get("LABPLANE_CONFIG")
    settings = read_labplane_settings(Path(toml) if toml else None, environment)
    ini = Ini([config] if config is not None else [path for path in ini_files() if path.exists()])
    found: dict[str, Any] = {
        "host": ini.text("Server", "host"),
        "port": ini.port("Server", "port", lowest=0),
        "local": ini.flag("Server", "local"),
        "projects_dir": ini.text("Server", "projects_path"),
        "console_ports": _range(ini, settings.console_range, "console_start_port_range", "console_end_port_range"),
        "udp_ports": _range(
            ini, settings.udp_range, "udp_start_port_range", "udp_end_port_range", "udp_start_end_range"
        ),
        "plugins": _with_vpcs(settings.plugins, ini.text("VPCS", "vpcs_path")),
    }
    found |= _access(ini)
    given = settings_variables(environment)
    values = {name: value for name, value in found.items() if value is not None and name not in given}
    allow = options["allow"] or ini.flag("Server", "allow_remote_console")
    values |= {
        name: value
        for name, value in options.items()
        if name != "allow" and value is not None and value is not False and value != ""
    }
    settings = replace(settings, **values)
    for place in ini.unused():
        log.info("%s has no meaning for labplane", place)
    console_host = _console_host(settings.host, bool(allow), settings.insecure)
    return replace(settings, console_host=console_host, insecure_consoles=settings.insecure_consoles or bool(allow))


def ini_files() -> list[Path]:
    """The INI files of GNS3 1.x on Linux, those of the system first; later ones win."""
    system = Path("/etc/xdg")
    files = [system / "GNS3.conf", system / "GNS3" / FILE, Path("/etc/gns3") / FILE]
    with suppress(RuntimeError):  # a user without a home
        user = Path.home() / ".config"
        files += [user / "GNS3.conf", user / "GNS3" / FILE]
    return files


def _range(ini: Ini, default: tuple[int, int], start: str, *ends: str) -> str | None:
    """A range of ports from two keys; one of them may be absent. The key of its end has a name for each release."""
    first = ini.port("Server", start)
    last = next((found for found in [ini.port("Server", end) for end in ends] if found is not None), None)
    if first is None and last is None:
        return None
    first, last = first or default[0], last or default[1]
    if first > last:
        key = next(key for key in (start, *ends) if ini.text("Server", key))
        raise SettingsError(f"{ini.place('Server', key)}: the range would be {first}-{last}, lower end first")
    return f"{first}-{last}"


def _with_vpcs(plugins: Mapping[str, Mapping[str, Any]], path: str | None) -> Mapping[str, Mapping[str, Any]] | None:
    if path is None:
        return None
    program = _at_home(path)
    return {**plugins, "vpcs": {**plugins.get("vpcs", {}), "program": program}}


def _console_host(host: str, allow: bool, insecure: bool) -> str:
    """The address of consoles: that of the server if it is loopback or `insecure`; every address if `allow` is set."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "0.0.0.0" if allow else "127.0.0.1"  # noqa: S104
    if allow:
        return "::" if address.version == 6 else "0.0.0.0"  # noqa: S104
    if address.is_loopback or (insecure and not address.is_unspecified):
        return host
    log.warning("consoles listen on 127.0.0.1 alone, for neither --allow nor allow_remote_console says otherwise")
    return "127.0.0.1"


def _access(ini: Ini) -> dict[str, Any]:
    """The settings for authentication and TLS. The INI file's password becomes the token; its user does not matter."""
    ini.text("Server", "user")
    password = ini.text("Server", "password")
    found: dict[str, Any] = {}
    if ini.flag("Server", "auth"):
        if password is None:
            raise SettingsError(f"{ini.place('Server', 'auth')}: there is no password below; set one, or auth to False")
        found |= {"auth": "token", "token": password}
    certificate, key = ini.text("Server", "certfile"), ini.text("Server", "certkey")
    if ini.flag("Server", "ssl"):
        if certificate is None:
            raise SettingsError(f"{ini.place('Server', 'ssl')}: there is no certfile below; set one, or ssl to False")
        found |= {"certfile": _at_home(certificate)}
        if key is not None:
            found |= {"keyfile": _at_home(key)}
    return found


def _at_home(path: str) -> str:
    try:
        return str(Path(path).expanduser())
    except RuntimeError:  # a user without a home: whatever opens the path says that it is not there
        return path


@contextmanager
def _kept(path: Path | None) -> Iterator[None]:
    """Keep the process id in `path` meanwhile and not longer: the desktop program kills the process that it names."""
    if path is None:
        yield
        return
    own = str(os.getpid()).encode()
    try:
        path.write_bytes(own)
    except OSError as error:
        raise SettingsError(f"the process id cannot be written to {path}: {error.strerror}") from None

    def remove() -> None:
        with suppress(OSError):
            if path.read_bytes() == own:
                path.unlink()

    def end(number: int, _: object) -> None:
        remove()
        signal.signal(number, before)
        signal.raise_signal(number)

    # uvicorn ends in order at SIGTERM, then raises that signal again, which ends the process.
    before = signal.signal(signal.SIGTERM, end) or signal.SIG_DFL
    try:
        yield
    finally:
        remove()
