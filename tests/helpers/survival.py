"""What must hold when a server is back after a kill: the model of each client compared with what is there."""

from collections.abc import Iterable, Iterator
from typing import Any

from acknowledged import Client, Doubt, Machine, Place, Seen, rewired
from lives import Process


class Survivors:
    """The clients of a server that is killed again and again.

    drifting: UDP ports of which no client knows, since the reply did not come; they come back with their projects.
    """

    def __init__(self, clients: Iterable[Client]) -> None:
        self.clients = list(clients)
        self.drifting: set[int] = set()

    def look(self, seen: Seen, *, died: bool = True, ended: bool = False) -> list[str]:
        """Sentences about what is lost, restarted, left over or wired wrongly; then the models are as `seen` is.

        died:  the server has, since the last look.
        ended: all machines have ended meanwhile, since the keeper did.
        """
        found: list[str] = []
        expected = _Expected()
        unknown = sum(client.doubt is not None and client.doubt.action == "lease" for client in self.clients)
        for client in self.clients:
            found += _settle(client, seen)
            for place in list(client.places.values()):
                if place.temporary and died:  # it ends with its server
                    del client.places[place.id]
                elif place.open:
                    found += _place(place, seen, expected, ended=ended)
                elif place.id in seen.projects:
                    found.append(f"the project {place.id}, which was closed, is open")
        beyond = seen.udp - expected.ports
        lost = expected.ports - seen.udp
        if len(beyond - self.drifting) > unknown or lost:
            found.append(f"UDP ports that nobody has are leased: {sorted(beyond)}, others are lost: {sorted(lost)}")
        self.drifting = beyond
        return found + list(expected.beyond(seen))


class _Expected:
    """All that may be there: projects, VMs, processes, ports."""

    def __init__(self) -> None:
        self.projects: set[str] = set()
        self.machines: dict[str, Machine] = {}
        self.ports: set[int] = set()

    def beyond(self, seen: Seen) -> Iterator[str]:
        if more := seen.projects.keys() - self.projects:
            yield f"there are projects that nobody made: {sorted(more)}"
        machines = {vm for vms in seen.machines.values() for vm in vms}
        if more := machines - self.machines.keys():
            yield f"there are VMs that nobody made: {sorted(more)}"
        running = {machine.id for machine in self.machines.values() if machine.process is not None}
        if orphans := {vm: processes for vm, processes in seen.processes.items() if vm not in running}:
            yield f"there are processes of VMs that do not run: {orphans}"
        consoles = [machine.console for machine in self.machines.values()]
        if seen.consoles != set(consoles) or len(set(consoles)) != len(consoles):
            yield f"the console ports {sorted(seen.consoles)} are leased, VMs have {sorted(consoles)}"


def _place(place: Place, seen: Seen, expected: _Expected, *, ended: bool) -> Iterator[str]:
    shown = seen.projects.get(place.id)
    if shown is None:
        yield f"the project {place.id} is lost with its VMs {list(place.machines)}"
        return
    expected.projects.add(place.id)
    expected.ports |= place.ports
    if shown["name"] != place.name:
        yield f"the project {place.id} is called {shown['name']!r} instead of {place.name!r}"
    for machine in place.machines.values():
        vm = seen.machines[place.id].get(machine.id)
        if vm is None:
            yield f"{machine} is lost"
            continue
        expected.machines[machine.id] = machine
        if machine.nio is not None:
            expected.ports.add(machine.nio["lport"])
        yield from _machine(machine, vm, seen, ended=ended)


def _machine(machine: Machine, vm: dict[str, Any], seen: Seen, *, ended: bool) -> Iterator[str]:
    wanted = {"name": machine.name, "startup_script": machine.script, "console": machine.console}
    if wrong := {name: vm[name] for name in wanted if vm[name] != wanted[name]}:
        yield f"{machine} has {wrong}"
    if seen.nios[machine.id] != machine.nio:
        yield f"{machine} has the NIO {seen.nios[machine.id]}"
    if ended:
        machine.process = None
    there = seen.processes.get(machine.id, [])
    if machine.process is not None and there != [machine.process]:
        yield f"{machine} does not run on: its processes are {there}"
    if (vm["status"] == "started") != (machine.process is not None):
        yield f"{machine} is shown as {vm['status']}"
    machine.process = there[0] if there else None


def _settle(client: Client, seen: Seen) -> Iterator[str]:
    """Put into the model what came of the request that had no reply; complain when it is neither before nor after."""
    doubt, client.doubt = client.doubt, None
    if doubt is None:
        return
    place, machine = doubt.place, doubt.machine
    is_open = place.id in seen.projects
    if doubt.action in ("open", "reopen", "close", "remove"):
        yield from _settle_project(client, doubt, is_open, seen)
    elif doubt.action == "rename" and is_open and seen.projects[place.id]["name"] == doubt.change:
        place.name = doubt.change
    elif machine is not None and is_open:
        yield from _settle_machine(place, machine, doubt, seen)


def _settle_project(client: Client, doubt: Doubt, is_open: bool, seen: Seen) -> Iterator[str]:
    place = doubt.place
    if doubt.action == "open":
        if is_open:
            client.places[place.id] = place
    elif doubt.action == "reopen":
        place.open = is_open
    elif doubt.action == "close" and not is_open:
        client.closed(place)
    elif doubt.action == "remove" and not is_open:
        del client.places[place.id]
    if is_open and doubt.action != "open":
        vms = seen.machines[place.id]
        if doubt.action == "remove":  # nobody may count on what was about to go
            place.machines = {vm: machine for vm, machine in place.machines.items() if vm in vms}
        place.ports &= seen.udp
        for machine in place.machines.values():
            if machine.id not in vms:
                yield f"{machine} is lost although its project is open"
                continue
            machine.console = vms[machine.id]["console"]
            machine.process = _one(seen.processes.get(machine.id, []))
        yield from rewired(place, seen.nios)


def _settle_machine(place: Place, machine: Machine, doubt: Doubt, seen: Seen) -> Iterator[str]:
    vm, nio = seen.machines[place.id].get(machine.id), seen.nios.get(machine.id)
    there = seen.processes.get(machine.id, [])
    if doubt.action == "create":
        if vm is not None:
            machine.console = vm["console"]
            place.machines[machine.id] = machine
    elif doubt.action == "delete" and vm is None:
        del place.machines[machine.id]
    elif doubt.action == "change" and vm is not None:
        # A name and a script are two writes: either may be old or new.
        for name, member in (("name", "name"), ("startup_script", "script")):
            if vm[name] == doubt.change[name]:
                setattr(machine, member, vm[name])
    elif doubt.action == "link" and nio == doubt.change:
        machine.nio = nio
        place.ports.discard(nio["lport"])
    elif doubt.action == "unlink" and nio is None:
        machine.nio = None
    if doubt.action in ("start", "stop", "reload", "delete"):
        if len(there) > 1:
            yield f"{machine} has the processes {there} after its {doubt.action} was interrupted"
        machine.process = _one(there)


def _one(processes: list[Process]) -> Process | None:
    return processes[0] if len(processes) == 1 else None
