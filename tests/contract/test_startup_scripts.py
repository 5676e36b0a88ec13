"""M-7 to M-11: startup scripts, kept to the byte."""

import pytest

from expect import nothing, shown
from machines import create, script_file, show, vms
from support import Server, Viewer


@pytest.mark.parametrize(
    "script",
    [
        "ip 10.0.0.1/24\n",
        "ip 10.0.0.1\r\nsave\r\n",
        "mixed\r\nends\nand\rmore",
        "no end",
        "",
        "\n\n",
        "# Zürich 😀 \u0000 \u2028\n",
        "100% %d %%\n",
        "x" * 100_000,
    ],
)
def test_a_script_is_kept_to_the_byte(server: Server, project: str, script: str) -> None:
    """M-7, B-8: UTF-8, line ends included, at create and at update."""
    made = create(server, project, startup_script=script)
    vm = f"{project}/vpcs/vms/{made['vm_id']}"
    assert made["startup_script"] == script
    assert made["startup_script_path"] == "startup.vpc"
    assert script_file(server, vm).read_bytes() == script.encode()
    assert show(server, vm)["startup_script"] == script
    other = server.vm(project)
    assert shown(server.http.put(other, json={"startup_script": script}))["startup_script"] == script
    assert script_file(server, other).read_bytes() == script.encode()


def test_the_placeholder_becomes_the_name_everywhere(server: Server, project: str) -> None:
    """M-7: as it is, even when the name looks like a pattern or a placeholder."""
    for name in ("PC1", r"\1 $& %s", "%h"):
        made = create(server, project, name=name, startup_script="set pcname %h\necho %h%h x%hx %H")
        assert made["startup_script"] == f"set pcname {name}\necho {name}{name} x{name}x %H"


def test_a_vm_created_anew_finds_its_script(server: Server, project: str) -> None:
    """M-8, M-12: its directory stays when it is deleted."""
    made = create(server, project, startup_script="echo %h")
    vm = f"{project}/vpcs/vms/{made['vm_id']}"
    nothing(server.http.delete(vm))
    again = create(server, project, name="other", vm_id=made["vm_id"])
    assert again["startup_script"] == "echo PC"
    assert again["startup_script_path"] == "startup.vpc"
    nothing(server.http.delete(vm))
    assert create(server, project, vm_id=made["vm_id"], startup_script="new")["startup_script"] == "new"


def test_the_script_is_read_again_for_each_reply(server: Server, project: str) -> None:
    """M-8: and undecodable bytes are replaced for display, not on disk."""
    vm = server.vm(project)
    script_file(server, vm).write_bytes(b"by hand \xff\xfe\r\n")
    found = show(server, vm)
    assert found["startup_script"] == "by hand \ufffd\ufffd\r\n"
    assert found["startup_script_path"] == "startup.vpc"
    assert vms(server, project)[0] == found
    assert script_file(server, vm).read_bytes() == b"by hand \xff\xfe\r\n"


def test_what_is_saved_on_the_console_is_shown(server: Server, project: str) -> None:
    """M-8, S-2: `save` writes into the VM's directory."""
    vm, _ = server.linked_pair(project)
    nothing(server.http.post(f"{vm}/start"))
    with Viewer(show(server, vm)["console"]) as viewer:
        viewer.until(b"VPCS> ")
        viewer.type("ip 10.1.2.3 255.255.255.0")
        viewer.until(b"PC1 : 10.1.2.3")
        viewer.until(b"VPCS> ")
        viewer.type("save")
        viewer.until(b"done")
        viewer.until(b"VPCS> ")
    assert "10.1.2.3" in show(server, vm)["startup_script"]
    assert "10.1.2.3" in script_file(server, vm).read_text()


def test_an_absent_script_is_untouched_and_null_clears_it(server: Server, project: str) -> None:
    """M-10, B-19: no file appears that nobody asked for."""
    vm = server.vm(project)
    assert shown(server.http.put(vm, json={"name": "new"}))["startup_script"] is None
    assert not script_file(server, vm).exists()
    assert shown(server.http.put(vm, json={}))["startup_script_path"] is None
    assert not script_file(server, vm).exists()
    assert shown(server.http.put(vm, json={"startup_script": "x"}))["startup_script"] == "x"
    assert shown(server.http.put(vm, json={"name": "newer"}))["startup_script"] == "x"
    assert shown(server.http.put(vm, json={"startup_script": None}))["startup_script"] in (None, "")
    assert not script_file(server, vm).exists() or script_file(server, vm).read_bytes() == b""


def test_a_rename_rewrites_the_script_in_whole_words(server: Server, project: str) -> None:
    """M-11, B-18: the address 192.168.1.1 is not the VM called 1."""
    script = "set pcname 1\nip 192.168.1.1 24\necho 1,1 (1) a1 1a 1_ -1 1/1 1:1 .1 1\r\n1"
    vm = server.vm(project, "1", startup_script=script)
    found = shown(server.http.put(vm, json={"name": "2"}))
    assert found["startup_script"] == "set pcname 2\nip 192.168.1.1 24\necho 2,2 (2) a1 1a 1_ -1 1/1 1:1 .1 2\r\n2"
    assert found["name"] == "2"
    assert script_file(server, vm).read_bytes().endswith(b".1 2\r\n2")


def test_a_rename_takes_names_literally(server: Server, project: str) -> None:
    """M-11: the old one is no pattern, the new one no template; bytes that are no UTF-8 stay."""
    vm = server.vm(project, "a.c", startup_script="abc a.c\n")
    assert shown(server.http.put(vm, json={"name": r"\1 \g<0>"}))["startup_script"] == "abc \\1 \\g<0>\n"
    script_file(server, vm).write_bytes(b"\xff Z\xfcrich PC\n")
    server.http.put(vm, json={"name": "PC"})
    server.http.put(vm, json={"name": "PC9"})
    assert script_file(server, vm).read_bytes() == b"\xff Z\xfcrich PC9\n"


def test_with_name_and_script_in_one_update_the_new_script_wins(server: Server, project: str) -> None:
    """M-11."""
    vm = server.vm(project, "old", startup_script="echo old")
    found = shown(server.http.put(vm, json={"name": "new", "startup_script": "echo old %h"}))
    assert (found["name"], found["startup_script"]) == ("new", "echo old new")
