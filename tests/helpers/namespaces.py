"""Network namespaces: a loopback of our own, where every port is free and a tap device is nobody else's."""

import functools
import os
import subprocess
import sys
from pathlib import Path

import pytest

WAYS = (["unshare", "--net"], ["unshare", "--user", "--map-root-user", "--net"])


@functools.cache
def way_in() -> tuple[str, ...] | None:
    """The command that runs another one in a network namespace of its own; None where that is not permitted."""
    for way in WAYS:
        try:
            tried = subprocess.run([*way, "ip", "link", "set", "lo", "up"], capture_output=True, check=False)
        except FileNotFoundError:
            return None
        if tried.returncode == 0:
            return tuple(way)
    return None


needs_namespace = pytest.mark.skipif(way_in() is None, reason="this system permits no network namespaces")
needs_tun = pytest.mark.skipif(
    not os.access("/dev/net/tun", os.R_OK | os.W_OK), reason="/dev/net/tun cannot be used here"
)


def run_apart(script: str, *arguments: str, seconds: float = 120.0) -> None:
    """Run that file of tests as a program in a namespace with lo up, or on the plain host; fail when it fails."""
    way = way_in()
    setup = [*way, "sh", "-c", 'ip link set lo up && exec "$@"', "sh"] if way else []
    environment = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
    environment["PYTHONPATH"] = str(Path(__file__).parent)
    try:
        inside = subprocess.run(
            [*setup, sys.executable, script, *arguments],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        pytest.fail(f"it took more than {seconds} seconds:\n{(error.stdout or b'').decode(errors='replace')}")
    if inside.returncode != 0:
        pytest.fail(inside.stdout.decode(errors="replace"))
