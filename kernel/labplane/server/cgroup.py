"""Whether systemd or a container ends emulators together with the server, whatever the server wants."""

import subprocess
from collections.abc import Iterable
from pathlib import Path

CONTAINER_MARKS = ("/.dockerenv", "/run/.containerenv")
SECONDS = 5.0


def ends_with_us(cgroups: Path = Path("/proc/self/cgroup"), marks: Iterable[str] = CONTAINER_MARKS) -> str | None:
    """A sentence that says why the end of this process is that of all that it started; None when it is not."""
    if any(Path(mark).exists() for mark in marks):
        return "This is a container: when it ends, its emulators end with it."
    try:
        lines = cgroups.read_text().splitlines()
    except OSError:
        return None
    unit, of_user = _unit(lines)
    if unit is None:
        return None
    command = ["systemctl", *(["--user"] if of_user else []), "show", "--property=KillMode", "--value", unit]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    mode = asked.stdout.strip()
    if mode not in ("control-group", "mixed"):
        return None
    return (
        f"When this server ends or is killed, systemd ends its emulators with it: {unit} has KillMode={mode}. "
        "With KillMode=process, as in contrib/labplane.service, they run on for the next server."
    )


def _unit(lines: Iterable[str]) -> tuple[str | None, bool]:
    """The service of systemd whose cgroup this is, and whether it is a user's; None in a session, say."""
    for line in lines:
        hierarchy, controllers, path = line.split(":", 2)
        if hierarchy == "0" or controllers == "name=systemd":
            steps = path.split("/")
            services = [step for step in steps if step.endswith(".service")]
            managed = [step for step in services if not step.startswith("user@")]
            if managed and not steps[-1].endswith(".scope"):
                return managed[-1], len(managed) < len(services)
    return None, False
