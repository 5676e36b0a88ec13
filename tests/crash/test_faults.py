"""Faults of the system beside a kill: machines that are killed, thieves of ports, a server that stands still."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from crashing import IN_FULL
from expect import nothing, refusal
from host import suspend, udp_ports_of
from lives import Lives, Process
from machines import linked, show
from pinging import Pinging
from support import DEADLINE, running, until

ENDS = 100 if IN_FULL else 20
STARTS = 1000 if IN_FULL else 30


def process_of(lives: Lives, vm: str) -> Process:
    (process,) = lives.machines()[vm.rsplit("/", 1)[1]]
    return process


def test_each_machine_that_is_killed_is_noticed_within_a_second(tmp_path: Path) -> None:
    with Lives.beginning(tmp_path / "projects") as lives:
        http = lives.server.http
        vm = linked(lives.server, lives.server.project())
        for end in range(ENDS):
            nothing(http.post(f"{vm}/start"))
            os.kill(process_of(lives, vm).pid, signal.SIGKILL)
            until(lambda: show(lives.server, vm)["status"] == "stopped", f"the end {end + 1} to be noticed", 1.0)
        assert lives.server.log.count("ended by signal 9") == ENDS


@contextmanager
def thief(numbers: range) -> Iterator[set[int]]:
    """Somebody who binds UDP ports as soon as they can be had, and keeps each for an instant; what was got so far."""
    over, stolen = threading.Event(), set[int]()

    def steal() -> None:
        while not over.is_set():
            for number in numbers:
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end, suppress(OSError):
                    end.bind(("0.0.0.0", number))
                    stolen.add(number)
                    over.wait(0.001)
                over.wait(0.002)

    thread = threading.Thread(target=steal)
    thread.start()
    try:
        yield stolen
    finally:
        over.set()
        thread.join()


def test_a_machine_that_is_said_to_run_has_its_port_whatever_a_thief_gets(tmp_path: Path) -> None:
    with Lives.beginning(tmp_path / "projects") as lives:
        http = lives.server.http
        vm = linked(lives.server, lives.server.project())
        (lport,) = http.get("/v1/status").json()["ports"]["udp"]["used"]
        refused = 0
        with thief(range(lport, lport + 1)) as stolen:
            for _ in range(STARTS):
                reply = http.post(f"{vm}/start")
                if reply.status_code == 204:
                    assert udp_ports_of(process_of(lives, vm).pid) == {lport}
                    nothing(http.post(f"{vm}/stop"))
                else:
                    assert f"{lport}" in refusal(reply, 409)
                    assert show(lives.server, vm)["status"] == "stopped"
                    assert not lives.machines()
                    refused += 1
        assert stolen, "the thief has never been quick enough, which tells nothing"
        nothing(http.post(f"{vm}/start"))
        print(f"{refused} of {STARTS} starts were refused")


def test_no_machine_stalls_while_the_server_stands_still(tmp_path: Path) -> None:
    """Its terminal is emptied, although it prints more than a terminal holds; not a byte of that is lost."""
    with Lives.beginning(tmp_path / "projects") as lives:
        pinging = Pinging(lives, pause=10)
        suspend(lives.server.process.pid)
        try:
            pinging.goes_on(200)  # lines of some 55 bytes; a terminal holds 4 KiB
        finally:
            os.kill(lives.server.process.pid, signal.SIGCONT)
        assert pinging.complaints() == []


def test_a_second_server_on_a_directory_says_who_has_it_and_a_second_directory_is_no_matter(tmp_path: Path) -> None:
    with running(tmp_path / "projects") as first, running(tmp_path / "others") as other:
        assert other.http.get("/v1/version").status_code == 200
        command = [sys.executable, "-m", "labplane", "serve", "--port", "0", "--projects-dir", str(first.projects)]
        second = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=False)
        assert second.returncode == 1
        assert "Traceback" not in second.stderr
        assert str(first.process.pid) in second.stderr.splitlines()[-1]
        assert first.http.get("/v1/version").status_code == 200
