"""A machine that is no program has the console of all others: telnet, WebSocket, viewers, scrollback, log, its end."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.sync.client import connect

from support import DEADLINE, Server, Viewer, running, until

SPECIMENS = Path(__file__).parents[2] / "kit" / "specimens"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    options = ("--plugins-dir", str(SPECIMENS), "--config", str(SPECIMENS / "talking.toml"))
    with running(tmp_path / "projects", *options) as server:
        yield server


@pytest.fixture
def vm(server: Server) -> str:
    """A parrot that runs."""
    vm = server.vm(server.project(), kind="specimen")
    assert server.http.post(f"{vm}/start").status_code == 204
    return vm


def test_telnet_and_websocket_show_one_session_with_what_went_before(server: Server, vm: str) -> None:
    with Viewer(server.consoles[0]) as telnet:
        telnet.until(b"> ")
        telnet.type("hello")
        telnet.until(b"hello\r\nhello\r\n> ")
        with connect(f"ws://127.0.0.1:{server.port}{vm}/console", open_timeout=DEADLINE, proxy=None) as browser:
            assert browser.recv(timeout=DEADLINE) == b"Polly\r\n> hello\r\nhello\r\n> "
            browser.send(b"again\r")
            telnet.until(b"again\r\nagain\r\n> ")


def test_its_output_is_logged(server: Server, vm: str) -> None:
    directory = Path(server.http.get(vm).json()["vm_directory"])
    assert (directory / "specimen.log").read_bytes() == b"Polly\r\n> "


def test_its_end_closes_the_console_and_it_can_be_started_again(server: Server, vm: str) -> None:
    with Viewer(server.consoles[0]) as viewer:
        viewer.until(b"> ")
        viewer.type("bye")
        assert viewer.until_closed().endswith(b"bye\r\n")
    until(lambda: server.http.get(vm).json()["status"] == "stopped", "the VM to be stopped")
    assert server.http.post(f"{vm}/start").status_code == 204
    with Viewer(server.consoles[0]) as viewer:
        viewer.until(b"Polly")


def test_stop_ends_it_and_hangs_up_its_viewers(server: Server, vm: str) -> None:
    with Viewer(server.consoles[0]) as viewer:
        viewer.until(b"> ")
        assert server.http.post(f"{vm}/stop").status_code == 204
        viewer.until_closed()
    assert server.http.get(vm).json()["status"] == "stopped"
