"""Images: what can be uploaded, listed, deleted, named by a VM, and read by its program."""

import hashlib
import socket
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from inprocess import Served, offering, serving
from labplane import VM, Driver, ProcessDriver, Schema
from labplane.plugins.loading import Candidate
from labplane.testing import Viewer
from labplane_images import Images
from support import until

CONTENT = bytes(range(256)) * 8192  # more than one piece


class Disk(Driver):
    """Has an image."""

    kind = "disk"
    console = False
    properties: ClassVar[Mapping[str, Schema]] = {
        "hda": {"type": ["string", "null"], "format": "labplane-image"},
        "size": {"type": "integer", "default": 1},
    }

    async def start(self, vm: VM) -> None:
        pass

    async def stop(self, vm: VM) -> None:
        pass


class Reader(ProcessDriver):
    """Prints what it can read of its image and of another file beside that."""

    kind = "reader"
    properties = Disk.properties

    def command(self, vm: VM) -> Sequence[str]:
        (image,) = vm.images()
        look = 'read line < {}; echo "{}: $line"'
        script = f"{look.format(image.with_name('other'), 'other')}; {look.format(image, 'own')}; read line"
        return ["/bin/sh", "-c", script]


class Plain(Disk):
    """Has none."""

    kind = "plain"
    properties: ClassVar[Mapping[str, Schema]] = {}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "images"


@pytest.fixture
def served(tmp_path: Path, root: Path) -> Iterator[Served]:
    images = Candidate("images", lambda: Images, "labplane", "1")
    plugins = {"images": {"dir": str(root), "max_bytes": len(CONTENT)}}
    with serving(tmp_path, [images, offering(Disk, Plain, Reader)], plugins=plugins) as served:
        yield served


def message(reply: Any, status: int) -> str:
    assert reply.status_code == status, reply.text
    return str(reply.json()["message"])


def test_an_image_that_is_uploaded_is_listed_with_its_sum(served: Served, root: Path) -> None:
    assert served.http.get("/v1/disk/vms").json() == []
    assert served.http.post("/v1/disk/vms/a.qcow2", content=CONTENT).status_code == 204
    assert served.http.post("/v1/disk/vms/old/b.img", content=iter([b"1", b"2"])).status_code == 204
    (root / "DISK" / "c.iso").write_bytes(b"brought by hand")
    assert (root / "DISK" / "a.qcow2").read_bytes() == CONTENT
    assert served.http.get("/v1/disk/vms").json() == [
        {
            "filename": "a.qcow2",
            "path": "a.qcow2",
            "filesize": len(CONTENT),
            "md5sum": hashlib.md5(CONTENT, usedforsecurity=False).hexdigest(),
        },
        {"filename": "c.iso", "path": "c.iso", "filesize": 15, "md5sum": None},
        {
            "filename": "b.img",
            "path": "old/b.img",
            "filesize": 2,
            "md5sum": hashlib.md5(b"12", usedforsecurity=False).hexdigest(),
        },
    ]


def test_an_upload_that_is_refused_or_breaks_off_leaves_everything_as_it_was(served: Served, root: Path) -> None:
    served.http.post("/v1/disk/vms/a", content=b"first")
    assert "at most" in message(served.http.post("/v1/disk/vms/a", content=CONTENT + b"!"), 413)
    with socket.create_connection(("127.0.0.1", served.port)) as client:
        client.sendall(b"POST /v1/disk/vms/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nseco")
        until(lambda: any(one.name.startswith(".labplane-") for one in (root / "DISK").iterdir()), "the draft")
    until(lambda: not any(one.name.startswith(".labplane-") for one in (root / "DISK").iterdir()), "its removal")
    assert sorted(one.name for one in (root / "DISK").iterdir()) == ["a", "a.md5sum"]
    assert (root / "DISK" / "a").read_bytes() == b"first"


def test_an_image_is_replaced_with_its_sum(served: Served, root: Path) -> None:
    for content in (b"first", b"second"):
        served.http.post("/v1/disk/vms/a", content=content)
        (shown,) = served.http.get("/v1/disk/vms").json()
        assert shown["md5sum"] == hashlib.md5(content, usedforsecurity=False).hexdigest()
    assert served.http.delete("/v1/disk/vms/a").status_code == 204
    assert list((root / "DISK").iterdir()) == []
    message(served.http.delete("/v1/disk/vms/a"), 404)


@pytest.mark.parametrize(
    "name",
    ["%2e%2e/PLAIN/x", "/etc/passwd", ".hidden", "a/.hidden", "a%01b", "a.md5sum", "a/%2e%2e/%2e%2e/x", "%2e", "a%5cb"],
)
def test_what_is_no_image_below_its_folder_is_refused(name: str, served: Served) -> None:
    for method in ("POST", "DELETE"):
        assert served.http.request(method, f"/v1/disk/vms/{name}").status_code == 403
    assert served.http.get("/v1/disk/vms").json() == []


def test_a_link_out_of_the_folder_is_not_followed(served: Served, root: Path, tmp_path: Path) -> None:
    (root / "DISK").mkdir(parents=True)
    (tmp_path / "secret").write_text("x")
    (root / "DISK" / "a").symlink_to(tmp_path / "secret")
    (root / "DISK" / "d").symlink_to(tmp_path)
    for name in ("a", "d/secret", "d/new"):
        message(served.http.post(f"/v1/disk/vms/{name}", content=b"y"), 403)
        message(served.http.delete(f"/v1/disk/vms/{name}"), 403)
        vms = f"{served.project()}/disk/vms"
        message(served.http.post(vms, json={"name": "A", "hda": name}), 400)
    assert (tmp_path / "secret").read_text() == "x"


@pytest.mark.parametrize("kind", ["plain", "nothing", ".."])
def test_a_kind_without_images_has_none(kind: str, served: Served) -> None:
    assert served.http.get(f"/v1/{kind}/vms").status_code == 404
    assert served.http.post(f"/v1/{kind}/vms/a", content=b"").status_code == 404
    assert "disk, reader have" in message(served.http.get("/v1/plain/vms"), 404)


def test_a_vm_names_its_image_and_starts_only_with_it(served: Served, root: Path) -> None:
    vm = served.vm(served.project(), "disk", hda="a")
    refused = message(served.http.post(f"{vm}/start"), 409)
    assert "The image 'a' of disk 'A'" in refused
    assert "POST /v1/disk/vms/a" in refused
    assert served.http.post("/v1/disk/vms/a", content=b"x").status_code == 204, "it is named, and not yet there"
    assert served.http.post(f"{vm}/start").status_code == 204
    for method in ("POST", "DELETE"):
        assert "is that of disk 'A'" in message(served.http.request(method, "/v1/disk/vms/a"), 409)
    message(served.http.put(vm, json={"hda": "../x", "size": 2}), 400)
    assert served.http.get(vm).json()["hda"] == "a"
    assert served.http.put(vm, json={"hda": str(root / "DISK" / "b")}).status_code == 200, "as local clients write it"
    for none in (None, ""):
        assert served.http.put(vm, json={"hda": none}).status_code == 200
        assert served.lab.vms.get(vm.rsplit("/", 1)[1]).images() == []  # type: ignore[union-attr]
    assert served.http.delete("/v1/disk/vms/a").status_code == 204


def test_a_confined_program_reads_the_image_of_its_vm_and_no_other(served: Served) -> None:
    for name in ("mine", "other"):
        served.http.post(f"/v1/reader/vms/{name}", content=f"{name}\n".encode())
    vm = served.vm(served.project(), "reader", hda="mine")
    if not served.lab.terminals.can_confine:
        pytest.skip("this kernel has no Landlock")
    assert served.http.post(f"{vm}/start").status_code == 204
    with Viewer(served.http.get(vm).json()["console"]) as viewer:
        seen = viewer.until(b"own: mine\r\n")
    assert b"other: \r\n" in seen
    assert b"ermission denied" in seen


def test_without_the_plugin_a_vm_with_an_image_is_refused(tmp_path: Path) -> None:
    with serving(tmp_path, [offering(Disk)]) as served:
        vms = f"{served.project()}/disk/vms"
        assert "No plugin keeps images" in message(served.http.post(vms, json={"name": "A", "hda": "a"}), 409)
        assert served.http.post(vms, json={"name": "A"}).status_code == 201
