"""F-1 to F-6: the files of a project, listed, read and written, and nothing beside them."""

import hashlib
import os
import stat
from pathlib import Path
from urllib.parse import quote

import pytest

from expect import nothing, refusal, shown
from projects import create, directory
from support import Server, running, until
from wire import Wire

ESCAPES = [
    "../secret",
    "a/../../secret",
    "a/b/../../../secret",
    "%2e%2e/secret",
    "%2E./secret",
    ".%2e/secret",
    "..%2fsecret",
    "%2e%2e%2fsecret",
    "a/%2e%2e/%2e%2e/secret",
    "./../secret",
    "%2fetc/passwd",
    "/etc/passwd",
    "//etc/passwd",
    "..%5csecret",
    "a%5c..%5c..%5csecret",
    "secret%00.txt",
    "%00",
    ".",
    "..",
    ".gns3_temporary",
    "a/../.gns3_temporary",
    ".hidden",
    ".hidden/file",
    "a/.labplane-0123456789abcdef",
    "line%0dfeed",
]


@pytest.fixture
def root(server: Server, project: str) -> Path:
    """The directory of the project, which has a file `a/b/c` and beside it a neighbour with a secret."""
    path = Path(shown(server.http.get(project))["path"])
    (path / "a" / "b").mkdir(parents=True)
    (path / "a" / "b" / "c").write_text("inside")
    neighbour = path.with_name(path.name + "-neighbour")
    neighbour.mkdir()
    for secret in (neighbour / "secret", path.parent / "secret"):
        secret.write_text("outside")
    return path


def listed(server: Server, project: str) -> dict[str, str]:
    return {entry["path"]: entry["md5sum"] for entry in shown(server.http.get(f"{project}/files"))}


def test_files_are_listed_with_their_md5_sums(server: Server, project: str, root: Path) -> None:
    """F-1: at any depth, in a steady order; an empty project has none."""
    big = os.urandom(3_000_000)
    (root / "B.bin").write_bytes(big)
    (root / "ä b.txt").write_bytes(b"")
    (root / "empty").mkdir()
    assert shown(server.http.get(f"{project}/files")) == [
        {"path": "B.bin", "md5sum": hashlib.md5(big, usedforsecurity=False).hexdigest()},
        {"path": "ä b.txt", "md5sum": "d41d8cd98f00b204e9800998ecf8427e"},
        {"path": "a/b/c", "md5sum": "335cf4508dd597be4bfc9caa3e08b901"},
    ]
    assert listed(server, server.project()) == {}


def test_what_is_listed_can_be_read_and_nothing_else_is_listed(server: Server, root: Path, project: str) -> None:
    """F-1: not the mark of a temporary project, no pipes, sockets or links that lead out."""
    (root / ".gns3_temporary").write_text("1")
    (root / "in").symlink_to("a/b/c")
    (root / "out").symlink_to("../secret")
    (root / "around").symlink_to("a")
    (root / "nowhere").symlink_to("nothing")
    (root / "loop").symlink_to("loop")
    os.mkfifo(root / "pipe")
    (root / "back\\slash").write_text("x")
    Path(os.fsdecode(os.fsencode(root) + b"/\xff")).write_text("x")
    os.mknod(root / "socket", stat.S_IFSOCK | 0o600)  # to bind one there, the path would have to be short
    found = listed(server, project)
    assert set(found) == {"a/b/c", "in"}
    for path in found:
        assert server.http.get(f"{project}/files/{path}").text == "inside"


def test_a_file_is_read_as_it_is(server: Server, root: Path, project: str) -> None:
    """F-2: of any length and content."""
    for name, content in {"big": os.urandom(5_000_000), "empty": b"", "a b+ü%#?": b"{}"}.items():
        (root / name).write_bytes(content)
        reply = server.http.get(f"{project}/files/{quote(name)}")
        assert (reply.status_code, reply.content) == (200, content)
        assert reply.headers["content-type"] == "application/octet-stream"


def test_head_of_a_file_has_no_body(wire: Wire, root: Path, project: str) -> None:
    """T-9."""
    for _ in range(2):
        reply = wire.call("HEAD", f"{project}/files/a/b/c")
        assert (reply.status, reply.headers["content-type"], reply.body) == (200, "application/octet-stream", b"")
    assert wire.call("GET", f"{project}/files/a/b/c").body == b"inside"


def test_a_file_is_written_as_it_is(server: Server, root: Path, project: str) -> None:
    """F-3: whatever its content type says, and over what was there."""
    big = os.urandom(5_000_000)
    for content in (big, b"", b"{not JSON", b"short"):
        nothing(server.http.post(f"{project}/files/a/new", content=content), 200)
        assert (root / "a" / "new").read_bytes() == content
    assert sorted(path.name for path in (root / "a").iterdir()) == ["b", "new"]


def test_a_body_longer_than_max_body_and_in_chunks_is_written(server: Server, root: Path, project: str) -> None:
    """F-3, T-12: the limit for JSON is not that for files."""
    piece = os.urandom(1 << 20)
    nothing(server.http.post(f"{project}/files/big", content=(piece for _ in range(40))), 200)
    assert (root / "big").stat().st_size == 40 << 20


def test_a_file_that_is_replaced_keeps_its_mode(server: Server, root: Path, project: str) -> None:
    """F-3."""
    (root / "a" / "b" / "c").chmod(0o750)
    nothing(server.http.post(f"{project}/files/a/b/c", content=b"new"), 200)
    assert (root / "a" / "b" / "c").stat().st_mode & 0o777 == 0o750


def test_a_script_can_be_written_as_a_file(server: Server, project: str) -> None:
    """F-3, M-8: what a client of 1.5 may do."""
    vm = server.vm(project)
    vm_id = vm.rpartition("/")[2]
    nothing(server.http.post(f"{project}/files/project-files/vpcs/{vm_id}/startup.vpc", content=b"show\n"), 200)
    assert shown(server.http.get(vm))["startup_script"] == "show\n"


@pytest.mark.parametrize("path", ESCAPES)
def test_no_path_leads_out_however_it_is_written(server: Server, root: Path, project: str, path: str) -> None:
    """F-4: on the wire as it stands here, so that no client tidies it up."""
    before = sorted(path.name for path in root.parent.iterdir())
    for method, body in (("GET", b""), ("POST", b"overwritten")):
        with Wire(server.port) as wire:
            reply = wire.call(method, f"{project}/files/{path}", body)
        assert reply.status == 403, reply.body
        assert b'"status": 403' in reply.body
    assert sorted(path.name for path in root.parent.iterdir()) == before
    assert (root.parent / "secret").read_text() == "outside"
    assert sorted(path.name for path in root.iterdir()) == ["a"]


def test_a_path_is_decoded_once(wire: Wire, root: Path, project: str) -> None:
    """F-4: what is encoded twice is a name, and a strange one."""
    (root / "%2e%2e").write_text("a name")
    assert wire.call("GET", f"{project}/files/%252e%252e").body == b"a name"
    assert wire.call("GET", f"{project}/files/%252e%252e%252fsecret").status == 404


def test_a_neighbour_with_the_same_beginning_is_another_directory(wire: Wire, root: Path, project: str) -> None:
    """F-4."""
    assert wire.call("GET", f"{project}/files/../{root.name}-neighbour/secret").status == 403
    (root / "link").symlink_to(f"../{root.name}-neighbour")
    assert wire.call("GET", f"{project}/files/link/secret").status == 403
    assert wire.call("POST", f"{project}/files/link/secret", b"overwritten").status == 403
    assert (root.parent / f"{root.name}-neighbour" / "secret").read_text() == "outside"


def test_a_path_that_stays_inside_may_take_a_detour(wire: Wire, root: Path, project: str) -> None:
    """F-4."""
    for path in ("a/b/c", "a/./b//c", "a/x/../b/c", "x/../a/b/c"):
        assert wire.call("GET", f"{project}/files/{path}").body == b"inside"


def test_a_link_is_followed_inside_the_project_only(server: Server, root: Path, project: str) -> None:
    """F-5: also when it is written to, and not to what is hidden."""
    (root / ".hidden").write_text("hidden")
    for name, target in {"in": "a/b/c", "around": "a", "out": "/etc/passwd", "up": "..", "top": ".", "loop": "loop",
                         "hidden": ".hidden"}.items():  # fmt: skip
        (root / name).symlink_to(target)
    for path in ("in", "around/b/c"):
        assert server.http.get(f"{project}/files/{path}").text == "inside"
    for path in ("out", "up/secret", "loop", "loop/x", "hidden"):
        refusal(server.http.get(f"{project}/files/{path}"), 403)
        refusal(server.http.post(f"{project}/files/{path}", content=b"x"), 403)
    nothing(server.http.post(f"{project}/files/in", content=b"new"), 200)
    assert (root / "in").is_symlink()
    assert (root / "a" / "b" / "c").read_text() == "new"
    refusal(server.http.get(f"{project}/files/top"), 409)


def test_what_is_no_file_is_neither_read_nor_written(server: Server, root: Path, project: str) -> None:
    """F-6: and a pipe that nobody holds keeps nobody waiting."""
    os.mkfifo(root / "pipe")
    for method in ("GET", "POST"):
        for path, status in {"a": 409, "pipe": 403, "a/b/c/d": 404, "x/y": 404, "n" * 300: 404}.items():
            refusal(server.http.request(method, f"{project}/files/{path}"), status)
    refusal(server.http.get(f"{project}/files/x"), 404)
    for method in ("GET", "POST"):
        refusal(server.http.request(method, f"{project}/files/"), 404)
        refusal(server.http.request(method, f"{project}/files/a/"), 404)
    assert listed(server, project) == {"a/b/c": "335cf4508dd597be4bfc9caa3e08b901"}


def test_a_project_that_is_not_open_has_no_files(server: Server, root: Path, project: str) -> None:
    nothing(server.http.post(f"{project}/close"))
    for method, path in (("GET", "files"), ("GET", "files/a/b/c"), ("POST", "files/a/b/c"), ("GET", "export")):
        refusal(server.http.request(method, f"{project}/{path}"), 404)
    refusal(server.http.get("/v1/projects/nonsense/files"), 400)
    assert (root / "a" / "b" / "c").read_text() == "inside"


def test_a_slow_upload_holds_nobody_up_and_is_invisible_until_it_is_whole(
    server: Server, wire: Wire, root: Path, project: str
) -> None:
    """F-3, L-5."""
    vm = server.vm(project)
    wire.head("POST", f"{project}/files/a/b/c", "Transfer-Encoding: chunked")
    wire.chunk(b"half of")
    until(lambda: len(list((root / "a" / "b").iterdir())) == 2, "the upload to begin")
    assert server.http.get(f"{project}/files/a/b/c").text == "inside"
    assert "a/b/c" in listed(server, project)
    assert len(listed(server, project)) == 1
    shown(server.http.put(vm, json={"name": "changed"}))
    nothing(server.http.post(f"{project}/commit"))
    wire.chunk(b" it")
    wire.chunk(b"")
    assert wire.reply().status == 200
    assert [path.name for path in (root / "a" / "b").iterdir()] == ["c"]
    assert server.http.get(f"{project}/files/a/b/c").text == "half of it"


def test_of_an_upload_that_breaks_off_nothing_remains(server: Server, root: Path, project: str) -> None:
    """F-3."""
    with Wire(server.port) as wire:
        wire.head("POST", f"{project}/files/a/b/new", "Content-Length: 100")
        wire.send(b"half")
        until(lambda: len(list((root / "a" / "b").iterdir())) == 2, "the upload to begin")
    until(lambda: [path.name for path in (root / "a" / "b").iterdir()] == ["c"], "the upload to be forgotten")


def test_an_upload_into_a_project_that_is_deleted_meanwhile_is_refused(server: Server, wire: Wire) -> None:
    """F-3: and does not bring the directory back."""
    made = create(server)
    project, root = f"/v1/projects/{made['project_id']}", Path(made["path"])
    wire.head("POST", f"{project}/files/new", "Content-Length: 4")
    wire.send(b"ha")
    until(lambda: list(root.iterdir()), "the upload to begin")
    nothing(server.http.delete(project))
    wire.send(b"lf")
    assert wire.reply().status == 404
    assert not root.exists()


def test_a_file_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    """F-3: at once when its length is known, and nothing of it remains."""
    config = tmp_path / "labplane.toml"
    config.write_text("[plugins.files]\nfile_max_bytes = 1000\n")
    with running(tmp_path / "projects", "--config", str(config)) as server, Wire(server.port) as wire:
        root = directory(server)
        path = f"/v1/projects/{root.name}/files/new"
        wire.head("POST", path, "Content-Length: 1001")
        assert wire.reply().status == 413
    with running(tmp_path / "projects", "--config", str(config)) as server:
        root = directory(server)
        path = f"/v1/projects/{root.name}/files/new"
        refusal(server.http.post(path, content=(b"x" * 600 for _ in range(2))), 413)
        assert list(root.iterdir()) == []
        nothing(server.http.post(path, content=b"x" * 1000), 200)
        assert (root / "new").stat().st_size == 1000
