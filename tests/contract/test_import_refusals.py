"""F-9 to F-11: what is no archive, too much of one, or cannot be here leaves no trace."""

import re
import stat
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from archives import archive, bring, described, everything, flagged, open_files, path_of, plugged, renamed, special
from expect import nothing, refusal, shown
from machines import show, vms
from projects import create
from support import Server, running, until
from wire import Wire

SAME_ID = {"vm_id": "00000000-0000-0000-0000-00000000000a"}


BAD: dict[str, bytes] = {
    "nothing": b"",
    "no zip": b"no zip at all" * 100,
    "half a zip": archive({"a": "b" * 1000, "c": "d"})[:-40],
    "up": archive({"fine": "x", "../up": "x"}),
    "detour": archive({"fine": "x", "a/../../up": "x"}),
    "absolute": archive({"fine": "x", "/etc/up": "x"}),
    "backslash": archive({"fine": "x", "..\\up": "x"}),
    "drive": archive({"fine": "x", "C:/up": "x"}),
    "NUL": renamed("abcde.txt", "abc\0e.txt"),
    "control character": archive({"fine": "x", "a\nb": "x"}),
    "twice": renamed("fina", "fine"),
    "file and directory": archive({"a": "x", "a/b": "x"}),
    "file over a directory": archive({"a/b": "x", "./a": "x"}),
    "too long": archive({"fine": "x", "n" * 300: "x"}),
    "draft": archive({"fine": "x", "a/.labplane-x": "x"}),
    "symbolic link": special(stat.S_IFLNK | 0o777),
    "pipe": special(stat.S_IFIFO | 0o666),
    "device": special(stat.S_IFBLK | 0o666),
    "LZMA": archive({"fine": "x", "a": "x"}, method=zipfile.ZIP_LZMA),
    "encrypted": flagged(archive({"fine": "x"}), 1),
    "description is no JSON": archive({"fine": "x", "labplane.json": "{"}),
    "description is no description": archive({"fine": "x"}, {"format": "labplane"}),
    "description of tomorrow": archive({"fine": "x"}, described() | {"version": 2}),
    "id that is a path": archive({"fine": "x"}, described({"vm_id": "../../../../../../../etc/cron.d/x"})),
    "two of one id": archive({"fine": "x"}, described(SAME_ID, SAME_ID)),
    "directory that is a file": archive({"project-files": "x"}, described({})),
    "name that is none": archive({"fine": "x"}, described({}) | {"name": "a\nb"}),
    "unknown setting": archive({"fine": "x"}, described({}, {"settings": {"colour": "red"}})),
    "bad setting": archive({"fine": "x"}, described({}, {"settings": {"startup_script": 7}})),
    "unknown NIO": archive({"fine": "x"}, described({}, plugged(type="rope"))),
}


LINK: dict[str, Any] = {"type": "nio_udp", "lport": 31999, "rhost": "127.0.0.1", "rport": 9}

CONFLICTS = {
    "unknown kind": described({}, {"kind": "toaster"}),
    "adapter that is not there": described({}, plugged(3, type="nio_tap", tap_device="t")),
    "NIO that VPCS does not take": described({}, plugged(type="nio_vde")),
    "one lport twice": described(*[plugged(**LINK)] * 2),
}


@pytest.mark.parametrize("data", BAD.values(), ids=BAD)
def test_a_bad_archive_is_refused_and_leaves_no_trace(other: Server, other_project: str, data: bytes) -> None:
    """F-9, F-11: however late it turns out."""
    root = path_of(other, other_project)
    before = shown(other.http.get(other_project))
    refusal(other.http.post(f"{other_project}/import", content=data), 400)
    assert list(root.iterdir()) == []
    assert not (root.parent / "up").exists()
    assert vms(other, other_project) == []
    assert shown(other.http.get(other_project)) == before
    assert "Traceback" not in other.log


def test_the_refusal_names_the_file(other: Server, other_project: str) -> None:
    """E-1, F-11."""
    message = refusal(other.http.post(f"{other_project}/import", content=BAD["up"]), 400)
    assert re.search(r"'\.\./up' is refused", message)


@pytest.mark.parametrize("description", CONFLICTS.values(), ids=CONFLICTS)
def test_a_lab_that_cannot_be_here_leaves_no_trace(other: Server, other_project: str, description: Any) -> None:
    """F-9: ports come back, too."""
    first = vm_of(other, other_project)
    refusal(other.http.post(f"{other_project}/import", content=archive({"fine": "x"}, description)), 409)
    assert list(path_of(other, other_project).iterdir()) == []
    assert vms(other, other_project) == []
    assert vm_of(other, other_project) == first


def vm_of(server: Server, project: str) -> tuple[int, int]:
    """The console and the UDP port that come next; nothing remains."""
    console = show(server, vm := server.vm(project))["console"]
    udp = shown(server.http.post("/v1/projects", json={}), 201)["project_id"]
    port = shown(server.http.post(f"/v1/projects/{udp}/ports/udp"), 201)["udp_port"]
    nothing(server.http.delete(f"/v1/projects/{udp}"))
    nothing(server.http.delete(vm))
    nothing(server.http.post(f"{project}/commit"))
    for folder in ("project-files/vpcs", "project-files"):
        (path_of(server, project) / folder).rmdir()
    return console, port


def test_an_import_goes_into_a_project_that_has_room_for_it(other: Server, other_project: str) -> None:
    """F-9: nothing that is there is written over."""
    root = path_of(other, other_project)
    (root / "b").write_text("mine")
    assert "already" in refusal(
        other.http.post(f"{other_project}/import", content=archive({"a": "x", "b": "x", "c": "x"})), 409
    )
    assert everything(root) == {"b": b"mine"}
    bring(other, other_project, archive({"a": "x", "c/d": "x"}))
    assert everything(root) == {"a": b"x", "b": b"mine", "c": None, "c/d": b"x"}
    other.vm(other_project)
    assert "VMs" in refusal(other.http.post(f"{other_project}/import", content=archive({"e": "x"})), 409)
    assert not (root / "e").exists()


def test_what_is_too_much_is_refused(tmp_path: Path) -> None:
    """F-10: too long, too many, too large when unpacked, too well compressed, too long an index."""
    config = tmp_path / "labplane.toml"
    config.write_text("[plugins.files]\nimport_max_bytes = 20_000_000\nimport_max_files = 3\nimport_max_ratio = 10\n")
    with running(tmp_path / "projects", "--config", str(config)) as server:
        project = server.project()
        nobody = archive({"a": "x"}) + b"\0" * 20_000_001
        many = archive({str(number): "" for number in range(4)})
        large = archive({"a": b"\0" * 11_000_000, "b": b"\0" * 11_000_000})
        dense = archive({"a": b"\0" * 18_000_000})
        index = archive({str(number): "" for number in range(8000)})
        pieces = (nobody[at : at + 1_000_000] for at in range(0, len(nobody), 1_000_000))
        for data in (nobody, pieces, many, large, dense, index):
            refusal(server.http.post(f"{project}/import", content=data), 413)
        assert list(path_of(server, project).iterdir()) == []
        bring(server, project, archive({"a": b"\0" * 10_000_000, "b": b""}))


def test_an_archive_that_lies_about_its_sizes_is_refused(other: Server, other_project: str) -> None:
    """F-10: nothing is unpacked beyond what was announced."""
    data = bytearray(archive({"project.gns3": b"\0" * 100_000}))
    index = data.rindex(b"PK\x01\x02")
    for at in (index + 24, data.index(b"PK\x03\x04") + 22):
        data[at : at + 4] = (10).to_bytes(4, "little")
    refusal(other.http.post(f"{other_project}/import", content=bytes(data)), 400)
    assert list(path_of(other, other_project).iterdir()) == []


def test_of_an_import_that_breaks_off_nothing_remains(other: Server, other_project: str) -> None:
    """F-9: nothing is seen of it before, either."""
    data = archive({"a": "x" * 100})
    root = path_of(other, other_project)
    with Wire(other.port) as wire:
        wire.head("POST", f"{other_project}/import", f"Content-Length: {len(data)}")
        wire.send(data[:50])
        assert list(root.iterdir()) == []
        other.vm(other_project)
    until(lambda: not any("deleted" in link for link in open_files(other)), "the upload to be forgotten")
    assert [path.name for path in root.iterdir()] == ["project-files"]


def test_a_project_that_is_closed_during_an_upload_gets_nothing(other: Server) -> None:
    """F-9."""
    made = create(other)
    project, root, data = f"/v1/projects/{made['project_id']}", Path(made["path"]), archive({"a": "x"})
    with Wire(other.port) as wire:
        wire.head("POST", f"{project}/import", f"Content-Length: {len(data)}")
        wire.send(data[:50])
        nothing(other.http.post(f"{project}/close"))
        wire.send(data[50:])
        assert wire.reply().status == 404
    assert list(root.iterdir()) == []


def test_a_server_ends_though_an_upload_stalls(tmp_path: Path) -> None:
    """A-3: and nothing of it remains."""
    with running(tmp_path / "projects") as server, Wire(server.port) as one, Wire(server.port) as two:
        root = Path(create(server)["path"])
        one.head("POST", f"/v1/projects/{root.name}/import", "Content-Length: 100")
        two.head("POST", f"/v1/projects/{root.name}/files/new", "Content-Length: 100")
        until(lambda: list(root.iterdir()), "the upload to begin")
        server.stop()
        assert list(root.iterdir()) == []


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "files/../x", 403), ("POST", "files/../x", 403), ("POST", "import", 400)]
)
def test_a_connection_goes_on_after_a_refusal(wire: Wire, project: str, method: str, path: str, status: int) -> None:
    """T-10."""
    body = b"" if method == "GET" else b"x" * 100_000
    for _ in range(2):
        assert wire.call(method, f"{project}/{path}", body).status == status
    assert wire.call("GET", project).status == 200


def test_of_two_imports_into_one_project_one_succeeds(other: Server, other_project: str) -> None:
    """F-9."""
    data = [archive({str(number): "x"}, described(*[{"name": str(number)}] * 5)) for number in range(4)]

    def post(body: bytes) -> int:
        return other.http.post(f"{other_project}/import", content=body).status_code

    with ThreadPoolExecutor(len(data)) as threads:
        statuses = list(threads.map(post, data))
    assert sorted(statuses) == [201, 409, 409, 409]
    winner = str(statuses.index(201))
    assert [vm["name"] for vm in vms(other, other_project)] == [winner] * 5
    assert sorted(path.name for path in path_of(other, other_project).iterdir()) == [winner, "project-files"]


@pytest.mark.parametrize("end", ["close", "delete"])
def test_a_project_that_ends_during_an_import_ends(other: Server, other_project: str, end: str) -> None:
    """L-7, F-9: at whatever moment; VMs, ports and files are as after any other end."""
    data = archive({str(number): "x" * 1000 for number in range(200)}, described(*[plugged(**LINK)] + [{}] * 10))
    first = vm_of(other, other_project)
    for moment in range(10):
        made = create(other)
        project, root = f"/v1/projects/{made['project_id']}", Path(made["path"])
        with Wire(other.port) as wire, Wire(other.port) as ending:
            wire.head("POST", f"{project}/import", f"Content-Length: {len(data)}")
            wire.send(data)
            time.sleep(moment / 200)  # any moment will do
            method, path = ("POST", f"{project}/close") if end == "close" else ("DELETE", project)
            assert ending.call(method, path).status == 204
            status = wire.reply().status
        assert status in (201, 404)
        refusal(other.http.get(project), 404)
        if end == "delete":
            assert not root.exists()
        else:
            names = {path.name for path in root.iterdir()}
            assert names == ({"project-files", *map(str, range(200))} if status == 201 else set())
    assert vm_of(other, other_project) == first
