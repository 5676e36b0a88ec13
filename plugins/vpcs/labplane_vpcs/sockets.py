"""Which sockets a process has, as /proc tells (S-3: the owner of a port counts, not just that it is taken)."""

import os


def has_udp_port(pid: int, number: int) -> bool:
    """True when the process `pid` itself has UDP `number` bound."""
    inodes = {target[8:-1] for target in open_files(pid) if target.startswith("socket:[")}
    if not inodes:
        return False
    wanted = f":{number:04X}"
    with open(f"/proc/{pid}/net/udp") as table:
        next(table)
        for line in table:
            columns = line.split()
            if columns[1].endswith(wanted) and columns[9] in inodes:
                return True
    return False


def open_files(pid: int) -> list[str]:
    """What the file descriptors of `pid` lead to. Raises OSError when it has ended."""
    directory = f"/proc/{pid}/fd"
    targets = []
    for descriptor in os.listdir(directory):
        try:
            targets.append(os.readlink(f"{directory}/{descriptor}"))
        except FileNotFoundError:
            continue
    return targets


def thread_states(pid: int, first: int) -> list[str]:
    """The state letter (R, S, …) of each thread of `pid` from number `first` on, oldest first, as /proc lists them.

    Raises OSError when it has ended.
    """
    directory = f"/proc/{pid}/task"
    states = []
    for thread in os.listdir(directory)[first:]:
        with open(f"{directory}/{thread}/stat") as file:
            text = file.read()
        states.append(text[text.rindex(")") + 2])
    return states
