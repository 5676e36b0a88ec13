"""Consoles of real VPCS over WebSockets, with threads and with coroutines."""

import asyncio
from collections.abc import Iterator

import pytest

from labplane.client import VM, AsyncClient, Client, ClientError
from support import Server, running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("server") / "projects") as server:
        yield server


@pytest.fixture
def pc(server: Server) -> Iterator[VM]:
    """A VPCS that runs."""
    with Client(server.url) as lab:
        project = lab.create_project()
        one, two = (lab.create_vm(project, "vpcs", name) for name in ("PC1", "PC2"))
        lab.link(one, two)
        lab.start(one)
        yield one
        lab.delete_project(project)


def test_a_line_is_asked_and_answered(server: Server, pc: VM) -> None:
    with Client(server.url) as lab, lab.console(pc) as console:
        assert "VPCS : 10.0.0.1" in console.ask("ip 10.0.0.1/24")
        assert console.ask("ping 10.0.0.1 -c 1").strip().startswith("10.0.0.1 icmp_seq=1 ttl=64")
        assert "icmp_seq=2" in console.ask("ping 10.0.0.1 -t", until="icmp_seq=2")


def test_a_line_is_asked_with_coroutines(server: Server, pc: VM) -> None:
    async def main() -> tuple[str, str]:
        async with AsyncClient(server.url) as lab, lab.console(pc) as console:
            first = await console.ask("ip 10.0.0.1/24")
            return first, await console.ask("ping 10.0.0.1 -t", until="icmp_seq=2")

    first, second = asyncio.run(main())
    assert "VPCS : 10.0.0.1" in first
    assert "icmp_seq=2" in second


def test_what_is_typed_and_printed_goes_through_as_it_is(server: Server, pc: VM) -> None:
    with Client(server.url) as lab, lab.console(pc) as console:
        console.ask("")
        console.send(b"show ip\r")
        seen = b""
        while b"MTU" not in seen:
            seen += console.receive(10)
        assert seen.startswith(b"show ip\r\n")


def test_an_answer_that_does_not_come_is_told(server: Server, pc: VM) -> None:
    late = pytest.raises(ClientError, match="in time; it shows")
    with Client(server.url) as lab, lab.console(pc) as console, late:
        console.ask("sleep 3", timeout=0.3)


def test_a_console_of_a_vm_that_does_not_run_is_refused_with_the_servers_sentence(server: Server, pc: VM) -> None:
    with Client(server.url) as lab:
        lab.stop(pc)
        with pytest.raises(ClientError) as caught, lab.console(pc):
            pass
    assert caught.value.status == 409
    assert "does not run; start it first" in caught.value.message


def test_a_console_that_is_closed_says_so(server: Server, pc: VM) -> None:
    with Client(server.url) as lab, lab.console(pc) as console:
        console.ask("")
        lab.stop(pc)
        with pytest.raises(ClientError, match="The console was closed"):
            console.ask("show ip")


def test_without_a_server_there_is_no_console(pc: VM) -> None:
    async def main() -> None:
        async with AsyncClient("http://127.0.0.1:9") as lab:
            with pytest.raises(ClientError, match="does not answer"):
                async with lab.console(pc):
                    pass

    with Client("http://127.0.0.1:9") as lab, pytest.raises(ClientError, match="does not answer"), lab.console(pc):
        pass
    asyncio.run(main())
