"""The labs that the demo builds, request by request: two linked PCs, three PCs on a switch."""

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

Say = Callable[[str], None]

PATIENCE = 30.0
NO_SWITCH = (
    "the server has no VMs of the kind 'switch'. Install them into its environment, in labplane's source tree with "
    "pip install ./drivers/labplane-switch, and start it again."
)


class DemoError(Exception):
    """The session cannot go on; the text says why."""


class Api:
    """Sends requests and says each as a curl line with its reply."""

    def __init__(self, url: str, say: Say) -> None:
        self.url = url
        self.host = urlsplit(url).hostname or "127.0.0.1"
        self._say = say
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """The reply to one request, None when it is empty. Raises DemoError when the server refuses or is not there."""
        verb = "" if method == ("GET" if body is None else "POST") else f"-X {method} "
        content = "" if body is None else f" -d '{json.dumps(body)}'"
        self._say(f"\n$ curl {verb}{self.url}{path}{content}")
        try:
            text = self._ask(method, path, body)
        except DemoRefusal as refusal:
            self._say(refusal.text)
            raise
        if text:
            self._say(text)
        return json.loads(text) if text else None

    def kinds(self) -> set[str]:
        """The kinds of VM that the server has; of this request nothing is said."""
        return {kind for plugin in json.loads(self._ask("GET", "/v1/plugins")) for kind in plugin["kinds"]}

    def _ask(self, method: str, path: str, body: Any = None) -> str:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}{path}", data, method=method)  # noqa: S310
        try:
            with self._opener.open(request, timeout=PATIENCE) as reply:
                text: str = reply.read().decode()
                return text
        except urllib.error.HTTPError as refusal:
            raise DemoRefusal(refusal.read().decode(errors="replace")) from None
        except (urllib.error.URLError, ValueError) as error:
            raise DemoError(f"{self.url} does not answer: {getattr(error, 'reason', error)}") from None


class DemoRefusal(DemoError):
    """The server refused a request; text: its whole reply."""

    def __init__(self, text: str) -> None:
        super().__init__(_message(text))
        self.text = text


@dataclass(frozen=True)
class DemoLab:
    """A lab that runs: the console ports of its PCs, and the path of its switch, if it has one."""

    consoles: Sequence[int]
    switch: str | None = None


@contextmanager
def two_linked_pcs(api: Api) -> Iterator[DemoLab]:
    """Two started PCs with a link; their project is deleted on leaving."""
    with _project(api) as project:
        pcs = _pcs(api, project, 2)
        ports = [_udp_port(api) for _ in pcs]
        for path, lport, rport in zip(pcs, ports, reversed(ports), strict=True):
            _plug(api, path, 0, lport, rport)
        for path in pcs:
            api.call("POST", f"{path}/start", {})
        yield DemoLab(list(pcs.values()))


@contextmanager
def three_pcs_on_a_switch(api: Api) -> Iterator[DemoLab]:
    """Three started PCs on a started switch, likewise. Raises DemoError when the server has no switches."""
    if "switch" not in api.kinds():
        raise DemoError(NO_SWITCH)
    with _project(api) as project:
        pcs = _pcs(api, project, 3)
        made = api.call("POST", f"{project}/switch/vms", {"name": "Switch", "ports": len(pcs)})
        switch = f"{project}/switch/vms/{made['vm_id']}"
        for port, path in enumerate(pcs):
            ours, theirs = _udp_port(api), _udp_port(api)
            _plug(api, path, 0, ours, theirs)
            _plug(api, switch, port, theirs, ours)
        for path in (switch, *pcs):
            api.call("POST", f"{path}/start", {})
        yield DemoLab(list(pcs.values()), switch)


@contextmanager
def _project(api: Api) -> Iterator[str]:
    project = f"/v1/projects/{api.call('POST', '/v1/projects', {})['project_id']}"
    try:
        yield project
    finally:
        with suppress(DemoError):
            api.call("DELETE", project, {})


def _pcs(api: Api, project: str, count: int) -> dict[str, int]:
    """New PCs: the path of each, and its console port."""
    made = [api.call("POST", f"{project}/vpcs/vms", {"name": f"VPCS {number}"}) for number in range(1, count + 1)]
    return {f"{project}/vpcs/vms/{pc['vm_id']}": pc["console"] for pc in made}


def _udp_port(api: Api) -> int:
    port: int = api.call("POST", "/v1/ports/udp", {})["udp_port"]
    return port


def _plug(api: Api, vm: str, port: int, lport: int, rport: int) -> None:
    nio = {"lport": lport, "rhost": "127.0.0.1", "rport": rport, "type": "nio_udp"}
    api.call("POST", f"{vm}/adapters/0/ports/{port}/nio", nio)


def _message(text: str) -> str:
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        return text[:200]
