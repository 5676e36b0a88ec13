"""The labs that the demo builds, request by request: two linked PCs, three PCs on a switch."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import httpx2

from labplane.client import Client, ClientError

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
        self._say = say
        hooks: dict[str, list[Callable[..., Any]]] = {"request": [self._asked], "response": [self._answered]}
        try:
            http = httpx2.Client(base_url=url, timeout=PATIENCE, trust_env=False, event_hooks=hooks)
        except httpx2.InvalidURL as error:
            raise DemoError(f"{url} is no URL: {error}") from None
        self.host = http.base_url.host or "127.0.0.1"
        self._client = Client(http=http)
        self.close = http.close

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """The reply to one request, None when it is empty. Raises DemoError when the server refuses or is not there."""
        try:
            return self._client.call(method, path, body)
        except ClientError as error:
            raise DemoError(error.message) from None

    def kinds(self) -> set[str]:
        """The kinds of VM that the server has; of this request nothing is said."""
        try:
            with Client(self.url) as client:
                return {kind for plugin in client.plugins() for kind in plugin["kinds"]}
        except ClientError as error:
            raise DemoError(error.message) from None

    def _asked(self, request: httpx2.Request) -> None:
        verb = "" if request.method == ("POST" if request.content else "GET") else f"-X {request.method} "
        body = f" -d '{json.dumps(json.loads(request.content))}'" if request.content else ""
        self._say(f"\n$ curl {verb}{request.url}{body}")

    def _answered(self, reply: httpx2.Response) -> None:
        if reply.read():
            self._say(reply.text)


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
