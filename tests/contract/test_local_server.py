"""``labplane-server``, started, asked, configured and ended as the desktop program of GNS3 1.x does with its own."""

import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import httpx2
import pytest

from desktop import PROGRAM, Desktop, LocalServer, Refused, local_server, plain_environment, unused_port, write_ini
from host import tcp_listeners
from support import DEADLINE, free_range, until


def run(home: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run a server that is not going to serve."""
    return subprocess.run(
        [PROGRAM, *options],
        env=plain_environment(home),
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE,
    )


def ini_of_1_5_4(home: Path, **changes: object) -> Path:
    """The INI file of a fresh 1.5.4, which wants authentication with a password of its own making."""
    server = {
        "host": "127.0.0.1",
        "port": 3080,
        "ubridge_path": "",
        "auth": True,
        "user": "u" * 64,
        "password": "%(p" * 21,
        "images_path": home / "GNS3" / "images",
        "projects_path": home / "GNS3" / "projects",
        "configs_path": home / "GNS3" / "configs",
        "console_start_port_range": 5000,
        "console_end_port_range": 10000,
        "udp_start_port_range": 10000,
        "udp_start_end_range": 20000,
        "report_errors": True,
    }
    return write_ini(
        home, {**server, **changes}, VPCS={"vpcs_path": shutil.which("vpcs")}, IOU={"iourc_path": "~/.iourc"}
    )


@pytest.mark.parametrize("version", ["1.3.13", "1.5.4"])
def test_the_program_starts_its_server_uses_it_and_ends_it(tmp_path: Path, version: str) -> None:
    """V-1, P-3, A-1: options, INI, log and process id as the program has them."""
    ini_of_1_5_4(tmp_path)
    with local_server(tmp_path) as server, Desktop(server.port, version, local=True) as desktop:
        assert server.pid_file.read_text() == str(server.process.pid)
        chosen = tmp_path / "GNS3" / "projects" / "lab"
        lab = {"name": "lab", "temporary": False, "project_id": None, "path": str(chosen)}
        assert desktop.call("POST", "/projects", lab)["path"] == str(chosen)
        unsaved = desktop.call("POST", "/projects", {"name": "unsaved", "temporary": True, "path": None})
        assert unsaved["location"] == str(tmp_path / "GNS3" / "projects")
        path = f"/projects/{unsaved['project_id']}"
        vm = desktop.call("POST", f"{path}/vpcs/vms", {"name": "PC1"})
        assert vm["console"] >= 5000
        port = desktop.call("POST", f"{path}/ports/udp")["udp_port"]
        nio = {"type": "nio_udp", "lport": port, "rport": 9, "rhost": "127.0.0.1"}
        desktop.call("POST", f"{path}/vpcs/vms/{vm['vm_id']}/adapters/0/ports/0/nio", nio)
        desktop.call("POST", f"{path}/vpcs/vms/{vm['vm_id']}/start")
        assert desktop.call("POST", "/server/shutdown", {}) == {}
        assert server.process.wait(DEADLINE) == 0
        assert not server.pid_file.exists()
        assert not Path(unsaved["path"]).exists()
        assert chosen.is_dir()
        assert f" at http://127.0.0.1:{server.port}, projects in {tmp_path}/GNS3/projects" in server.log
        assert server.output.read_text() == ""


def test_a_changed_ini_is_read_again_on_request(tmp_path: Path) -> None:
    """A-2: the program writes its preferences and posts a reload; what it started the server with still holds."""
    ini_of_1_5_4(tmp_path)
    with local_server(tmp_path) as server, Desktop(server.port, local=True) as desktop:
        first = int(free_range(1).split("-")[0])
        ini_of_1_5_4(tmp_path, console_start_port_range=first, console_end_port_range=first, host="0.0.0.0", port=1)
        assert desktop.call("POST", "/config/reload") == {}
        path = f"/projects/{desktop.call('POST', '/projects', {})['project_id']}"
        assert desktop.call("POST", f"{path}/vpcs/vms", {"name": "PC1"})["console"] == first
        ini_of_1_5_4(tmp_path, console_start_port_range="many")
        with pytest.raises(Refused, match=r"\[Server\] console_start_port_range: 'many' is no port") as refused:
            desktop.call("POST", "/config/reload")
        assert refused.value.status == 409


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_the_process_id_goes_with_the_process(tmp_path: Path, number: int) -> None:
    """A-3: the program kills whom it finds in that file, so it must not name a process that has ended."""
    with local_server(tmp_path) as server:
        httpx2.get(f"http://127.0.0.1:{server.port}/v1/version")
        assert server.pid_file.read_text() == str(server.process.pid)
        server.process.send_signal(number)
        assert server.process.wait(DEADLINE) == (-number if number == signal.SIGTERM else 0)
        assert not server.pid_file.exists()


def test_a_process_id_that_was_left_is_no_obstacle_and_that_of_another_is_left_alone(tmp_path: Path) -> None:
    with local_server(tmp_path) as server:
        server.pid_file.write_text("999999999")
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(DEADLINE)
        assert server.pid_file.read_text() == "999999999"
    with local_server(tmp_path) as server:
        until(lambda: server.pid_file.read_text() == str(server.process.pid), "the process id of the new server")


def test_a_server_that_does_not_get_its_port_touches_no_process_id(tmp_path: Path) -> None:
    """C-5: it may be that of the server that has the port. The log says what the matter is, as stderr does."""
    (tmp_path / "pid").write_text("4711")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run(tmp_path, f"--port={port}", f"--pid={tmp_path}/pid", f"--log={tmp_path}/log")
    assert done.returncode == 1
    assert f"cannot listen on 127.0.0.1 port {port}: Address already in use" in done.stderr
    assert f"cannot listen on 127.0.0.1 port {port}: Address already in use" in (tmp_path / "log").read_text()
    assert (tmp_path / "pid").read_text() == "4711"


@pytest.mark.parametrize(("option", "message"), [("--log", "the log {}/no/file"), ("--pid", "written to {}/no/file")])
def test_a_file_that_cannot_be_written_is_one_sentence(tmp_path: Path, option: str, message: str) -> None:
    done = run(tmp_path, "--port=0", f"{option}={tmp_path}/no/file")
    assert done.returncode == 1
    assert message.format(tmp_path) in done.stderr
    assert done.stderr.endswith("No such file or directory\n")


def test_without_a_log_file_the_log_goes_to_stderr_and_debug_makes_it_longer(tmp_path: Path) -> None:
    """What 1.3 adds for its own reasons is taken: --allow, --debug."""
    port = unused_port()
    with local_server(tmp_path, f"--port={port}", "--local", "--allow", "--debug", port=port, files=False) as server:
        with Desktop(port, "1.3.13", local=True) as desktop:
            assert desktop.call("POST", "/server/shutdown", {}) == {}
        server.process.wait(DEADLINE)
        assert f"at http://127.0.0.1:{port}," in server.output.read_text()
        assert "uvicorn.error: " in server.output.read_text()
        assert not server.pid_file.exists()


def started_console(server: LocalServer) -> int:
    """The console of a VPCS that runs."""
    with Desktop(server.port, local=True) as desktop:
        path = f"/projects/{desktop.call('POST', '/projects', {'temporary': True})['project_id']}"
        vm = desktop.call("POST", f"{path}/vpcs/vms", {"name": "PC1"})
        port = desktop.call("POST", f"{path}/ports/udp")["udp_port"]
        nio = {"type": "nio_udp", "lport": port, "rport": 9, "rhost": "127.0.0.1"}
        desktop.call("POST", f"{path}/vpcs/vms/{vm['vm_id']}/adapters/0/ports/0/nio", nio)
        desktop.call("POST", f"{path}/vpcs/vms/{vm['vm_id']}/start")
        return int(vm["console"])


@pytest.mark.parametrize("allow", [False, True])
def test_consoles_listen_on_every_address_only_when_that_is_asked_for(tmp_path: Path, allow: bool) -> None:
    """B-14: by the file here, by --allow in the same way."""
    first, _, last = free_range(5).partition("-")
    write_ini(
        tmp_path, {"console_start_port_range": first, "console_end_port_range": last, "allow_remote_console": allow}
    )
    with local_server(tmp_path) as server:
        console = started_console(server)
        (address,) = (address for address, port in tcp_listeners() if port == console)
        assert address == ("0.0.0.0" if allow else "127.0.0.1")
        assert ("127.0.0.1", server.port) in tcp_listeners()


def test_a_server_that_cannot_ask_for_the_password_does_not_listen_to_others(tmp_path: Path) -> None:
    """T-14: on loopback, where 1.5.4 wants one too, it says so in its log."""
    ini = ini_of_1_5_4(tmp_path)
    done = run(tmp_path, "--host=0.0.0.0", "--port=0")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"Error: {ini}: [Server] auth: labplane asks nobody for a password")
    with local_server(tmp_path) as server:
        httpx2.get(f"http://127.0.0.1:{server.port}/v1/version")
        assert f"WARNING labplane.gns3_server: {ini}: [Server] auth: labplane asks nobody for a password" in server.log
        assert "%(p%(p" not in server.log


def test_keys_without_a_meaning_are_named_in_the_log(tmp_path: Path) -> None:
    ini = ini_of_1_5_4(tmp_path)
    with local_server(tmp_path) as server:
        httpx2.get(f"http://127.0.0.1:{server.port}/v1/version")
        for key in ("[Server] images_path", "[Server] configs_path", "[Server] report_errors", "[IOU] iourc_path"):
            assert f"INFO labplane.gns3_server: {ini}: {key} has no meaning for labplane" in server.log
        assert server.log.count("has no meaning") == 4


def test_the_version_is_one_word(tmp_path: Path) -> None:
    """O-7: as gns3server prints it, that which it tells a client that names none."""
    for option in ("--version", "-v"):
        done = run(tmp_path, option)
        assert (done.returncode, done.stdout, done.stderr) == (0, "1.3.dev1\n", "")


@pytest.mark.parametrize(
    "option", ["--ssl", "--daemon", "--port=65536", "--port=x", "--locals", "extra", "--config=/no/file"]
)
def test_an_option_that_it_does_not_have_is_an_error(tmp_path: Path, option: str) -> None:
    done = run(tmp_path, option)
    assert done.returncode in (1, 2)
    assert done.stderr.splitlines()[-1].startswith("Error: ")
    assert option.split("=")[-1] in done.stderr
    assert os.listdir(tmp_path) == []
