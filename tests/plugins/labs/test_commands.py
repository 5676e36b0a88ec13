"""The commands `exec`, `test`, `ps` and `check`, with the codes with which they end."""

from pathlib import Path
from xml.etree.ElementTree import parse

import pytest

from labplane_client import Client
from labs_at import Run, shown
from support import Server

LAB = """\
name: two
defaults: {kind: vpcs}
nodes:
  pc1: {startup: "ip 10.0.0.1/24"}
  pc2: {startup: "ip 10.0.0.2/24"}
links:
  - [pc1, pc2]
tests:
  - {name: pc1 reaches pc2, node: pc1, run: ping 10.0.0.2 -c 1, expect: "^84 bytes from 10.0.0.2 icmp_seq=1 ttl=64"}
  - {name: nobody else is there, node: pc1, run: ping 10.0.0.3 -c 1, reject: ttl=, expect: not reachable}
"""


@pytest.fixture
def lab(tmp_path: Path, run: Run) -> Path:
    """The file of a lab that is up."""
    (tmp_path / "lab.yaml").write_text(LAB)
    run("up", "--wait")
    return tmp_path / "lab.yaml"


@pytest.mark.usefixtures("lab")
def test_a_line_is_typed_and_its_output_printed(run: Run, client: Client) -> None:
    assert (
        "\n84 bytes from 10.0.0.2 icmp_seq=1 ttl=64" in run("exec", "pc1", "--", "ping", "10.0.0.2", "-c", "1").stdout
    )
    assert "IP/MASK     : 10.0.0.2/24" in run("exec", "two/pc2", "show ip").stdout
    assert shown(run("exec", "-o", "json", "pc1", ""))["ended_by"] == "prompt"
    assert run("exec", "pc1", "--expect", "seq=1 ttl", "--", "ping 10.0.0.2 -c 1").exit_code == 0
    assert "The output has no 'seq=7'" in run("exec", "pc1", "--expect", "seq=7", "ping 10.0.0.2 -c 1", code=1).stderr
    assert "has not answered within 0.5" in run("exec", "--timeout", "0.5", "pc1", "sleep 2 done", code=3).stderr
    assert "no regular expression" in run("exec", "--expect", "(", "pc1", "show", code=2).stderr
    assert "there is two/pc1, two/pc2" in run("exec", "pc9", "show", code=1).stderr
    client.create_vm(client.create_project(name="other"), "vpcs", "pc1")
    assert run("exec", "pc1", "", "--lab", "two").stdout == ""


def test_a_name_that_two_labs_have_has_to_be_said_in_full(run: Run, lab: Path) -> None:
    lab.unlink()
    (lab.parent / "other.yaml").write_text(LAB.replace("name: two", "name: other", 1))
    run("up", "other.yaml")
    assert "Which one? " in run("exec", "pc1", "", code=1).stderr
    assert run("exec", "--lab", "other.yaml", "pc1", "").exit_code == 0


@pytest.mark.usefixtures("lab")
def test_tests_pass_and_are_written_as_junit_has_them(run: Run, tmp_path: Path) -> None:
    done = run("test", "--junit", "junit.xml")
    assert "2 of 2 passed" in done.stdout
    suite = parse(tmp_path / "junit.xml").getroot()[0]  # noqa: S314 - written by the command
    assert (suite.get("tests"), suite.get("failures")) == ("2", "0")
    assert [case.get("name") for case in suite] == ["pc1 reaches pc2", "nobody else is there"]


def test_a_test_that_fails_says_what_there_was(run: Run, lab: Path, tmp_path: Path) -> None:
    lab.write_text(
        LAB.replace("ttl=64", "ttl=65").replace("not reachable, ", "").replace("reject: ttl=", "reject: not")
    )
    done = run("test", "--junit", "junit.xml", code=1)
    assert "The output has no '^84 bytes from 10.0.0.2 icmp_seq=1 ttl=65'." in done.stdout
    assert "The output has 'not'." in done.stdout
    assert "0 of 2 passed" in done.stdout
    suite = parse(tmp_path / "junit.xml").getroot()[0]  # noqa: S314
    assert suite.get("failures") == "2"
    failure = suite[0].find("failure")
    assert failure is not None
    assert "icmp_seq=1 ttl=64" in (failure.text or "")
    assert "1 of 1 passed" not in run("test", "-k", "nobody", code=1).stdout


@pytest.mark.usefixtures("lab")
def test_a_failed_test_is_tried_as_often_as_it_says(run: Run, lab: Path, client: Client) -> None:
    """The network may need time to settle."""
    client.answer(client.vms(client.projects()[0], "vpcs")[0], "")
    lab.write_text(LAB[: LAB.index("tests:")] + "tests:\n  - {node: pc2, run: sleep 2, timeout: 0.5, attempts: 9}\n")
    (result,) = shown(run("test", "-o", "json", code=1))
    assert "does not come to its prompt" in result["failure"] or "did not come back" in result["failure"]


def test_tests_of_a_lab_that_is_not_up_are_not_run(run: Run, tmp_path: Path) -> None:
    (tmp_path / "lab.yaml").write_text(LAB)
    assert "`labplane up` brings it up" in run("test", code=1).stderr


@pytest.mark.usefixtures("lab")
def test_ps_lists_labs_and_nodes(run: Run, client: Client) -> None:
    pcs = {vm.name: vm for vm in client.vms(client.projects()[0], "vpcs")}
    rows = shown(run("ps", "-o", "json"))
    assert [
        (row["lab"], row["name"], row["kind"], row["status"]) for row in sorted(rows, key=lambda row: row["name"])
    ] == [
        ("two", "pc1", "vpcs", "started"),
        ("two", "pc2", "vpcs", "started"),
    ]
    assert {row["name"]: row["console"] for row in rows} == {name: vm.console for name, vm in pcs.items()}
    lines = run("ps").stdout.splitlines()
    assert lines[0].split() == ["LAB", "NODE", "KIND", "STATUS", "CONSOLE"]
    assert len(run("ps", "other").stdout.splitlines()) == 1


def test_a_file_is_checked_without_being_brought_up(run: Run, client: Client, tmp_path: Path) -> None:
    (tmp_path / "lab.yaml").write_text(LAB)
    (tmp_path / "bad.yaml").write_text(LAB.replace("kind: vpcs", "kind: vpsc"))
    assert run("check").stdout == "lab.yaml is a good lab\n"
    assert "bad.yaml:2:18: 'vpsc' is not one of" in run("check", "lab.yaml", "bad.yaml", code=2).stderr
    assert client.projects() == []


def test_a_file_can_be_checked_where_no_server_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against the kinds of this environment."""
    from click.testing import CliRunner

    from labplane.cli import main
    from support import free_range

    (tmp_path / "lab.yaml").write_text(LAB)
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, ["check"], env={"LABPLANE_PORT": free_range(1).split("-")[0]})
    assert (done.exit_code, done.stdout) == (0, "lab.yaml is a good lab\n")


def test_a_command_at_a_server_that_is_not_there_says_so(run: Run) -> None:
    assert "does not answer" in run("ps", "--url", "http://127.0.0.1:9", code=1).stderr
    assert "name the file of the lab" in run("up", code=2).stderr


def test_kinds_say_what_they_lack_here(server: Server) -> None:
    """Y-2."""
    kinds = {one["kind"]: one["message"] for one in server.http.get("/v1/kinds").json()}
    assert kinds["vpcs"] is None
    assert kinds["switch"] is None
