"""The commands `save`, `export` and `import`, labs of GNS3 and of containerlab among them."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from labplane_client import Client
from labs_at import Run, shown

LAB = """\
# What the class begins with.
name: two
defaults: {kind: vpcs}
nodes:
  pc1: {startup: "ip 10.0.0.1/24"}  # the first
  pc2:
    startup: |
      ip 10.0.0.2/24
  sw: {kind: switch}
links:
  - [pc1, sw]
  - [pc2, sw]
"""
V2: Any = {
    "name": "From GNS3",
    "revision": 9,
    "auto_start": True,
    "topology": {
        "nodes": [
            {"node_id": "a", "name": "PC 1", "node_type": "vpcs", "properties": {}, "x": 10, "y": -5},
            {"node_id": "b", "name": "PC2", "node_type": "vpcs", "properties": {"startup_script": "ip 10.0.0.2/24"}},
            {
                "node_id": "s",
                "name": "Switch1",
                "node_type": "ethernet_switch",
                "properties": {
                    "ports_mapping": [
                        {"port_number": 0, "type": "access", "vlan": 7},
                        {"port_number": 1, "type": "access", "vlan": 1},
                        {"port_number": 2, "type": "dot1q", "vlan": 1},
                        {"port_number": 3, "type": "dot1q", "vlan": 5},
                        {"port_number": 11, "type": "qinq", "vlan": 1},
                    ]
                },
            },
            {"node_id": "l", "name": "Host", "node_type": "linux", "properties": {"adapters": 2, "ram": 64, "mac": ""}},
            {"node_id": "r", "name": "R1", "node_type": "dynamips", "properties": {}},
        ],
        "links": [
            {"nodes": [{"node_id": "a", "adapter_number": 0, "port_number": 0}, {"node_id": "s", "port_number": 9}]},
            {"nodes": [{"node_id": "b"}, {"node_id": "s", "adapter_number": 0, "port_number": 1}]},
            {"nodes": [{"node_id": "r"}, {"node_id": "s", "port_number": 2}]},
            {"nodes": [{"node_id": "l", "adapter_number": 5}, {"node_id": "s", "port_number": 3}], "suspend": True},
            {"nodes": [{"node_id": "l", "adapter_number": 6}, {"node_id": "s", "port_number": 3}]},
        ],
        "drawings": [{"svg": "<svg/>"}],
    },
}
V1: Any = {
    "name": "old",
    "topology": {
        "nodes": [
            {
                "id": 1,
                "type": "VPCSDevice",
                "vm_id": "v1",
                "properties": {"name": "PC1"},
                "ports": [{"id": 1, "adapter_number": 0, "port_number": 0}],
            },
            {
                "id": 2,
                "type": "EthernetSwitch",
                "properties": {"name": "SW1"},
                "ports": [
                    {"id": 2, "port_number": 1, "vlan": 1, "type": "access"},
                    {"id": 3, "port_number": 2, "vlan": 1},
                ],
            },
        ],
        "links": [{"source_node_id": 1, "source_port_id": 1, "destination_node_id": 2, "destination_port_id": 3}],
        "notes": [{"text": "hello"}],
    },
}
CLAB = """\
name: clab
mgmt: {network: custom}
topology:
  defaults: {kind: vpcs}
  nodes:
    pc1: {startup-config: pc1.cfg, image: alpine}
    sw: {kind: switch}
    r1: {kind: nokia_srlinux}
    br: {kind: bridge}
    host: {kind: linux, exec: ["ip addr add 10.0.0.2/24 dev eth1"], image: "alpine:3"}
  links:
    - endpoints: ["host:eth1", "br:host-eth1"]
    - {type: veth, endpoints: [{node: host, interface: eth6, mac: "02:00:00:00:00:01"}, {node: sw, interface: eth9}]}
    - {type: host, endpoint: {node: host, interface: eth2}, host-interface: ens3}
    - endpoints: ["pc1:eth1", "sw:eth2"]
    - endpoints: ["r1:e1-1", "sw:eth3"]
"""


@pytest.fixture
def file(tmp_path: Path, run: Run) -> Path:
    """The file of a lab that is up."""
    (tmp_path / "lab.yaml").write_text(LAB)
    run("up", "--wait")
    return tmp_path / "lab.yaml"


def test_what_was_configured_is_saved_in_the_file_whose_comments_stay(run: Run, file: Path) -> None:
    run("exec", "pc2", "ip 10.0.0.77/24 10.0.0.254")
    assert run("save").stdout == "saved pc1, pc2\n"
    text = file.read_text()
    assert text.startswith("# What the class begins with.\n")
    assert "# the first" in text
    assert "\n      ip 10.0.0.77 10.0.0.254 24\n" in text
    run("down")
    run("up", "--wait")
    assert "10.0.0.77/24" in run("exec", "pc2", "show ip").stdout
    assert shown(run("up", "-o", "json"))[0]["steps"] == []


def test_what_was_configured_is_saved_beside_the_file(run: Run, file: Path) -> None:
    run("exec", "pc1", "ip 10.0.0.7/24")
    run("save", "--beside")
    assert file.read_text() == LAB
    assert "10.0.0.7" in (file.parent / "lab.yaml.startup" / "pc1").read_text()


def test_the_configuration_of_frr_is_saved_under_its_own_name(run: Run, tmp_path: Path) -> None:
    """A node without FRR has nothing to save, and no complaint."""
    file = tmp_path / "lab.yaml"
    file.write_text(
        "name: routed\ndefaults: {kind: linux, adapters: 1}\nnodes:\n"
        "  r1: {daemons: [ospfd]}  # a router\n  host: {startup: ip link set lo up}\nlinks:\n  - [r1, host]\n"
    )
    run("up", "--wait")
    run("exec", "r1", "vtysh -c 'configure terminal' -c 'ip route 192.0.2.0/24 blackhole'")
    assert run("save").stdout == "saved r1, host\n"
    text = file.read_text()
    assert "\n      ip route 192.0.2.0/24 blackhole\n" in text
    assert "# a router" in text
    assert "  host: {startup: ip link set lo up}\n" in text
    assert "startup:" not in text.partition("host:")[0]
    assert shown(run("up", "-o", "json"))[0]["steps"] == []
    run("save", "--beside")
    assert "blackhole" in (tmp_path / "lab.yaml.startup" / "r1.frr_conf").read_text()
    assert not (tmp_path / "lab.yaml.startup" / "host.frr_conf").exists()


def test_a_node_that_does_not_run_is_not_saved(run: Run, file: Path, client: Client) -> None:
    """Exit code 1; and the file stays as it was there."""
    pc1 = next(vm for vm in client.vms(client.projects()[0], "vpcs") if vm.name == "pc1")
    client.stop(pc1)
    done = run("save", code=1)
    assert "pc1: There is nobody at this console" in done.stderr
    assert 'pc1: {startup: "ip 10.0.0.1/24"}' in file.read_text()


@pytest.mark.usefixtures("file")
def test_a_lab_is_exported_and_imported(run: Run, client: Client, tmp_path: Path) -> None:
    run("export", "two", "two.zip")
    assert not list(tmp_path.glob(".*.new"))
    run("down")
    run("import", "two.zip")
    (project,) = client.projects()
    assert sorted(node["name"] for node in client.topology(project)["nodes"]) == ["pc1", "pc2", "sw"]
    assert [len(link["ends"]) for link in client.topology(project)["links"]] == [2, 2]
    assert "no labs are called 'three'" in run("export", "three", code=1).stderr


def test_a_project_of_gns3_2_is_taken_over_and_what_is_not_is_named(run: Run, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "lab.gns3project", "w") as archive:
        archive.writestr("project.gns3", json.dumps(V2))
        archive.writestr("project-files/vpcs/a/startup.vpc", "ip 10.0.0.1/24\n")
        archive.writestr("project-files/dynamips/r/config.cfg", "hostname R1\n")
    done = shown(run("import", "-o", "json", "lab.gns3project", "gns3.yaml"))
    assert done["lab"] == {
        "name": "From-GNS3",
        "nodes": {
            "PC-1": {"kind": "vpcs", "startup": "ip 10.0.0.1/24\n", "position": [10, -5]},
            "PC2": {"kind": "vpcs", "startup": "ip 10.0.0.2/24"},
            "Switch1": {"kind": "switch", "ports": 10, "vlans": {"eth0": 7, "eth2": "trunk", "eth3": {"native": 5}}},
            "Host": {"kind": "linux", "adapters": 6},
        },
        "links": [["PC-1", "Switch1:0/9"], ["PC2", "Switch1:0/1"], ["Host:5/0", "Switch1:0/3"]],
    }
    assert done["left_out"] == [
        "the name 'PC 1', in place of which the node is called 'PC-1'",
        "the VLANs of Switch1: 1 of its ports are not plain ones",
        "of the node Host: ram",
        "the node 'R1': there is no kind 'dynamips' here",
        "a link of Switch1:0/2 to what is left out",
        "of the link Host:5/0 -- Switch1:0/3: suspend",
        "the link Host:6/0 -- Switch1:0/3: there is one at Switch1:0/3 already",
        "1 drawings of the canvas",
        "the console ports, symbols and labels of the nodes",
        "of the project: auto_start",
        "files in the archive: project-files/dynamips/r/config.cfg",
    ]
    run("up", "--wait", "gns3.yaml")
    assert "icmp_seq=1 ttl=64" in run("exec", "--lab", "gns3.yaml", "PC-1", "ping 10.0.0.2 -c 1").stdout
    assert "is there already" in run("import", "lab.gns3project", "gns3.yaml", code=1).stderr


def test_a_topology_of_gns3_1_is_taken_over(run: Run, tmp_path: Path) -> None:
    (tmp_path / "old.gns3").write_text(json.dumps(V1))
    (tmp_path / "project-files" / "vpcs" / "v1").mkdir(parents=True)
    (tmp_path / "project-files" / "vpcs" / "v1" / "startup.vpc").write_text("ip 10.0.0.1/24\n")
    done = run("import", "old.gns3")
    assert done.stdout.splitlines() == [
        "old.yaml: 2 nodes, 1 links",
        "left out: 1 notes of the canvas",
        "left out: the console ports, symbols and labels of the nodes",
    ]
    assert "- [PC1, SW1:0/1]" in (tmp_path / "old.yaml").read_text()
    run("up", "old.yaml")


def test_a_file_of_containerlab_is_taken_over_and_what_is_not_is_named(run: Run, tmp_path: Path) -> None:
    (tmp_path / "lab.clab.yml").write_text(CLAB)
    (tmp_path / "pc1.cfg").write_text("ip 10.0.0.1/24\n")
    done = shown(run("import", "-o", "json", "lab.clab.yml", "clab.yaml"))
    assert done["lab"]["links"] == [["host:1", "br"], ["host:6", "sw:8"], ["pc1:0", "sw:1"]]
    assert done["lab"]["nodes"]["host"] == {
        "kind": "linux",
        "adapters": 7,
        "startup": "ip addr add 10.0.0.2/24 dev eth1\n",
    }
    assert [done["lab"]["nodes"][name] for name in ("br", "sw")] == [{"kind": "switch"}, {"kind": "switch", "ports": 9}]
    assert done["lab"]["nodes"]["pc1"] == {"kind": "vpcs", "startup": "ip 10.0.0.1/24\n"}
    assert done["left_out"] == [
        "of the node pc1: image",
        "the node 'r1': there is no kind 'nokia_srlinux' here",
        "of the node host: image",
        "the name 'host-eth1' of a port of br; it is the lowest that is free",
        "of the link host:eth6 -- sw:eth9: mac",
        'a link: {"type": "host", "endpoint": {"node": "host", "interface": "eth2"}, "host-interface": "ens3"}',
        "the link r1:e1-1 -- sw:eth3, of whose ends one is left out",
        "of the file: mgmt",
    ]
    run("up", "clab.yaml")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("lab.gns3", "{", "is no JSON"),
        ("lab.gns3", '{"topology": []}', "is no topology of GNS3"),
        ("lab.yaml", "name: a\nnodes: {}", "is neither a .gns3project"),
        ("lab.clab.yml", "name: a\ntopology: {nodes: [a, b]}", "is no file of containerlab"),
    ],
)
def test_what_is_no_lab_of_another_program_is_refused(
    run: Run, tmp_path: Path, name: str, content: str, words: str
) -> None:
    (tmp_path / name).write_text(content)
    assert words in run("import", name, "out.yaml", code=2).stderr
    assert not (tmp_path / "out.yaml").exists()


def test_an_archive_that_is_damaged_is_refused(run: Run, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "lab.gns3project", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("project.gns3", json.dumps(V2))
    data = bytearray((tmp_path / "lab.gns3project").read_bytes())
    data[60:70] = b"\xff" * 10
    (tmp_path / "lab.gns3project").write_bytes(data)
    assert "cannot be unpacked" in run("import", "lab.gns3project", "out.yaml", code=2).stderr


def test_a_startup_config_outside_the_folder_is_not_read(run: Run, tmp_path: Path) -> None:
    (tmp_path / "lab.clab.yml").write_text(CLAB.replace("pc1.cfg", "/etc/hostname"))
    done = shown(run("import", "-o", "json", "lab.clab.yml"))
    assert "startup" not in done["lab"]["nodes"]["pc1"]
    assert any("startup-config of pc1" in sentence for sentence in done["left_out"])
