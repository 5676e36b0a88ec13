"""K-7 and K-8: lines typed at the consoles of real VPCS by request."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest

from expect import nothing, refusal, shown
from machines import linked, start
from support import Server, Viewer


def typed(server: Server, vm: str, line: str, **body: Any) -> httpx2.Response:
    return server.http.post(f"{vm}/exec", json={"line": line, **body})


@pytest.fixture
def pc(server: Server, project: str) -> str:
    """A VPCS that runs."""
    vm = linked(server, project)
    start(server, vm)
    return vm


def test_a_line_is_answered_with_what_it_printed_and_nothing_else(server: Server, pc: str) -> None:
    """K-7: from the first moment after the start, and whatever the line is."""
    assert shown(typed(server, pc, "ip 10.0.0.1/24")) == {
        "output": "Checking for duplicate address...\nPC1 : 10.0.0.1 255.255.255.0\n\n",
        "ended_by": "prompt",
    }
    assert shown(typed(server, pc, ""))["output"] == ""
    assert shown(typed(server, pc, "ping 10.0.0.1 -c 1"))["output"].startswith("10.0.0.1 icmp_seq=1 ttl=64 time=")


def test_a_line_longer_than_a_terminal_is_wide_is_taken_whole(server: Server, pc: str) -> None:
    """K-7: one that VPCS would end from is refused."""
    assert f'"{"x" * 142}"' in shown(typed(server, pc, "x" * 142))["output"]
    assert "longer than 142 bytes" in refusal(typed(server, pc, "x" * 143), 400)
    assert shown(server.http.get(pc))["status"] == "started"


def test_an_expression_ends_the_output_where_it_is_found(server: Server, pc: str) -> None:
    """K-7: without waiting for the prompt."""
    shown(typed(server, pc, "ip 10.0.0.1/24"))
    answer = shown(typed(server, pc, "ping 10.0.0.1 -t", until="icmp_seq=2 ttl"))
    assert answer["ended_by"] == "until"
    assert "icmp_seq=2 ttl" in answer["output"]
    assert "icmp_seq=40" not in answer["output"]


def test_a_line_that_takes_too_long_is_answered_with_what_came_in_time(server: Server, pc: str) -> None:
    """K-7, K-8: and the next is not typed into it."""
    shown(typed(server, pc, "ip 10.0.0.1/24"))
    answer = shown(typed(server, pc, "ping 10.0.0.1 -t", timeout=0.5))
    assert answer["ended_by"] == "timeout"
    message = refusal(typed(server, pc, "show ip", timeout=0.2), 409)
    assert "does not come to its prompt" in message
    with Viewer(shown(server.http.get(pc))["console"]) as viewer:
        viewer.until(b"icmp_seq")
        viewer.socket.sendall(b"\x03")
        viewer.until(b"> ")
    assert "IP/MASK" in shown(typed(server, pc, "show ip"))["output"]


def test_nothing_is_typed_into_half_a_line_of_somebody_else(server: Server, pc: str) -> None:
    """K-8: until that is finished."""
    console = shown(server.http.get(pc))["console"]
    shown(typed(server, pc, ""))
    with Viewer(console) as viewer:
        viewer.until(b"> ")
        viewer.socket.sendall(b"sho")
        viewer.until(b"sho")
        assert "sho" in refusal(typed(server, pc, "ip 10.0.0.9/24", timeout=0.2), 409)
        viewer.type("w ip")
        viewer.until(b"MTU")
        assert "10.0.0.9" not in shown(typed(server, pc, "show ip"))["output"]


def test_who_looks_at_the_console_sees_the_line_and_its_output(server: Server, pc: str) -> None:
    """K-8."""
    with Viewer(shown(server.http.get(pc))["console"]) as viewer:
        shown(typed(server, pc, "ip 10.0.0.77/24"))
        viewer.until(b"ip 10.0.0.77/24")
        viewer.until(b"PC1 : 10.0.0.77")


def test_lines_of_several_clients_are_typed_one_after_the_other(server: Server, pc: str) -> None:
    """K-7: each gets the output of its own."""
    lines = [f"bogus{number}" for number in range(8)]
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda line: shown(typed(server, pc, line))["output"], lines))
    for line, output in zip(lines, answers, strict=True):
        assert f'"{line}"' in output
        assert output.count("Bad command") == 1


def test_a_vm_can_be_stopped_while_a_line_is_answered(server: Server, pc: str) -> None:
    """K-7: it does not hold the VM's lock, and says that the VM has ended."""
    with ThreadPoolExecutor(1) as thread:
        asked = thread.submit(typed, server, pc, "sleep 1000", timeout=60)
        with Viewer(shown(server.http.get(pc))["console"]) as viewer:
            viewer.until(b"sleep 1000")
        nothing(server.http.post(f"{pc}/stop"))
        assert shown(asked.result(20))["ended_by"] == "exit"


def test_a_line_for_a_vm_that_does_not_run_is_refused(server: Server, vm: str) -> None:
    """K-8."""
    assert "does not run; start it first" in refusal(typed(server, vm, "show ip"), 409)


def test_a_line_for_a_kind_without_a_console_is_refused(server: Server, project: str) -> None:
    """K-8."""
    switch = server.vm(project, "sw1", kind="switch")
    assert "have no prompt" in refusal(typed(server, switch, "show"), 409)
    nothing(server.http.post(f"{switch}/start"))
    assert "nobody at this console" in refusal(typed(server, switch, "show", until="x"), 409)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"line": "show\rquit"}, "'line'"),
        ({"line": "show", "timeout": 0}, "'timeout'"),
        ({"line": "show", "until": "("}, "no regular expression"),
        ({}, "'line'"),
    ],
)
def test_what_cannot_be_typed_is_refused(server: Server, pc: str, body: dict[str, Any], words: str) -> None:
    """K-7."""
    assert words in refusal(server.http.post(f"{pc}/exec", json=body), 400)


def test_a_vm_has_its_lines_under_its_own_kind_alone(server: Server, pc: str) -> None:
    """K-7: as in E-3."""
    assert "it is of kind vpcs" in refusal(typed(server, pc.replace("/vpcs/", "/switch/"), "show"), 404)
    assert "There is no VM" in refusal(typed(server, pc[:-1] + ("0" if pc[-1] != "0" else "1"), "show"), 404)
