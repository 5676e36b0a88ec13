"""VMs of the kind under test, over HTTP: made, linked, started, looked at; fails with sentences for their author."""

import itertools
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2

from labplane.testing.published import Published
from labplane.testing.server import Server, until

WINDOW = 0.5
"""How long, in seconds, what has to stay as it is gets watched."""
ENDED_WITHIN = 0.25
"""How long, in seconds, processes may still be seen that have been killed."""
MOST_PORTS = 16
"""How many ports of a VM are linked at most."""
FAR_END = 9
"""The port, discard, to which links lead."""

Port = tuple[int, int]


class Machines:
    """VMs of one kind, in a project of their own, a temporary one unless one is given.

    project:  its path, "/v1/projects/<id>".
    settings: what every create request has besides the name.
    """

    def __init__(
        self, server: Server, published: Published, settings: Mapping[str, Any], project: str | None = None
    ) -> None:
        self.server = server
        self.published = published
        self.settings = settings
        self.project = project or server.project(temporary=True)
        self.path = f"{self.project}/{published.kind}/vms"
        self._log_begins = len(server.log)
        self._names = (f"{published.kind} {number}" for number in itertools.count(1))

    # Requests

    def send(self, method: str, path: str, body: Any = None) -> httpx2.Response:
        """Send a request; fails when the reply is a crash."""
        reply = self.server.http.request(method, path, **({} if body is None else {"json": body}))
        assert reply.status_code < 500, (
            f"{_told(reply)} for the body {body!r:.300}. Raise a LabError, such as Conflict, for what can go wrong, "
            f"and let the schema allow only what the driver can take. The server's log: {self.news[-3000:]}"
        )
        return reply

    def ask(self, method: str, path: str, status: int, body: Any = None) -> Any:
        """Send a request that must be answered with that status; returns its value, None when it has no body."""
        reply = self.send(method, path, body)
        assert reply.status_code == status, f"{_told(reply)} instead of {status}."
        return reply.json() if reply.content else None

    def refusal(self, method: str, path: str, status: int, body: Any = None) -> str:
        """Send a request that must be refused with that status and the error envelope; returns its message."""
        return message(self.send(method, path, body), status)

    # VMs

    def create(self, **body: Any) -> str:
        """Create a VM; returns its path."""
        made = self.ask("POST", self.path, 201, {"name": next(self._names), **self.settings, **body})
        return f"{self.path}/{made['vm_id']}"

    def linked(self, **body: Any) -> str:
        """Create a VM with a link at each of its ports, if the kind takes UDP; returns its path."""
        vm = self.create(**body)
        self.link(vm)
        return vm

    def running(self, **body: Any) -> str:
        """Create, link and start a VM; returns its path."""
        vm = self.linked(**body)
        self.start(vm)
        return vm

    def show(self, vm: str) -> dict[str, Any]:
        shown: dict[str, Any] = self.ask("GET", vm, 200)
        return shown

    def status(self, vm: str) -> str:
        return str(self.show(vm)["status"])

    def start(self, vm: str) -> None:
        self.ask("POST", f"{vm}/start", 204)
        assert self.status(vm) == "started", f"start answered 204, and the VM is {self.status(vm)}. {self.news}"

    def stop(self, vm: str) -> None:
        self.ask("POST", f"{vm}/stop", 204)
        assert self.status(vm) == "stopped", f"stop answered 204, and the VM is {self.status(vm)}."

    def close(self) -> None:
        """Close the project, which is temporary."""
        self.ask("DELETE", self.project, 204)

    def directory(self, vm: str) -> Path:
        return Path(self.show(vm)["vm_directory"])

    def together(self, path: str, count: int) -> list[httpx2.Response]:
        """The replies to `count` POST requests that are sent at once."""
        with ThreadPoolExecutor(count) as threads:
            return list(threads.map(lambda _: self.send("POST", path), range(count)))

    def stays(self, vm: str, status: str) -> None:
        """Fail when the VM changes its status within a while."""
        end = time.monotonic() + WINDOW
        while time.monotonic() < end:
            now = self.status(vm)
            assert now == status, f"A while after it was {status}, without a request, the VM is {now}. {self.news}"
            time.sleep(0.02)

    # Links

    def ports(self, vm: str) -> list[Port]:
        """The VM's ports, the first ones if it has many; found by unplugging ports in which nothing is plugged."""
        found: list[Port] = []
        adapter = number = 0
        while len(found) < MOST_PORTS:
            reply = self.send("DELETE", nio_path(vm, (adapter, number)))
            if reply.status_code == 204:
                found.append((adapter, number))
                number += 1
                continue
            message(reply, 409)
            if number == 0:
                break
            adapter, number = adapter + 1, 0
        return found

    def udp_port(self) -> int:
        """A UDP port of the project's."""
        return int(self.ask("POST", f"{self.project}/ports/udp", 201)["udp_port"])

    def nio_udp(self) -> dict[str, Any]:
        """An NIO with a fresh `lport`."""
        return {"type": "nio_udp", "lport": self.udp_port(), "rhost": "127.0.0.1", "rport": FAR_END}

    def link(self, vm: str) -> dict[Port, int]:
        """Plug a UDP link into each port, if the kind takes it; the `lport` of each."""
        if "nio_udp" not in self.published.nio_types:
            return {}
        return {port: self.ask("POST", nio_path(vm, port), 201, self.nio_udp())["lport"] for port in self.ports(vm)}

    # What there is

    def nothing_new(self, before: Mapping[int, str], when: str) -> None:
        """Fail if processes run that did not run `before`. What was killed may take a moment to go."""

        def left() -> dict[int, str]:
            return {pid: name for pid, name in self.server.processes().items() if pid not in before}

        with suppress(AssertionError):
            until(lambda: not left(), "them to go", ENDED_WITHIN)
        still = left()
        assert not still, f"when {when}, there were processes still: {still}"

    @property
    def news(self) -> str:
        """The log of the server since these machines were made."""
        return self.server.log[self._log_begins :]

    def ports_left(self) -> dict[str, int]:
        """How many UDP ports, and VMs with a console, can still be had; they are given back at once."""
        trial = Machines(self.server, self.published, self.settings)
        left = {"UDP ports": trial._until_refused(f"{trial.project}/ports/udp", {})}
        if self.published.has_console:
            left["consoles"] = trial._until_refused(trial.path, {"name": "one of many", **self.settings})
        trial.close()
        return left

    def _until_refused(self, path: str, body: Mapping[str, Any]) -> int:
        most = max(last - first + 1 for first, last in (self.server.consoles, self.server.udp))
        for count in range(most + 1):
            reply = self.send("POST", path, body)
            if reply.status_code != 201:
                message(reply, 409)
                return count
        raise AssertionError(f"POST {path} succeeded more often than there are ports.")


def nio_path(vm: str, port: Port) -> str:
    return f"{vm}/adapters/{port[0]}/ports/{port[1]}/nio"


def message(reply: httpx2.Response, *statuses: int) -> str:
    """The message of a refusal, which must have one of these statuses and the one envelope."""
    wanted = " or ".join(map(str, statuses))
    assert reply.status_code in statuses, f"{_told(reply)} instead of {wanted}."
    envelope = reply.json()
    assert isinstance(envelope, dict), f"{_told(reply)}, which is no envelope."
    assert envelope.get("status") == reply.status_code, f"{_told(reply)}: the envelope has another status."
    text = envelope.get("message")
    assert isinstance(text, str), f"{_told(reply)}: the envelope has no message."
    assert text.strip(), f"{_told(reply)} without a sentence that says what to do."
    return text


def leaked(before: Sequence[str], after: Sequence[str]) -> list[str]:
    """The items that `after` has more often than `before`."""
    return sorted((Counter(after) - Counter(before)).elements())


def _told(reply: httpx2.Response) -> str:
    request = reply.request
    return f"{request.method} {request.url.path} answered {reply.status_code}: {reply.text[:500]!r}"
