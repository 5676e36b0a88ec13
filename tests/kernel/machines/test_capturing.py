"""Captures: their routes, their files, and when they end."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from inprocess import Served, offering, serving
from labplane import VM, Conflict, Driver

FRAME = b"a frame"


class Tap(Driver):
    """Writes a frame into each file to which it captures, when the capture begins and when it ends."""

    kind = "tap"
    console = False

    def adapters(self, vm: VM) -> Sequence[int]:
        return (1, 1)

    async def start(self, vm: VM) -> None:
        pass

    async def stop(self, vm: VM) -> None:
        pass

    async def capture(self, vm: VM, port: tuple[int, int], path: Path) -> None:
        if path.name == "refused.pcap":
            raise Conflict("Not now.")
        assert path.read_bytes() == b""
        path.write_bytes(FRAME)

    async def end_capture(self, vm: VM, port: tuple[int, int]) -> None:
        vm.captures[port].write_bytes(FRAME * 2)


class Deaf(Driver):
    """Cannot capture."""

    kind = "deaf"

    async def start(self, vm: VM) -> None:
        pass

    async def stop(self, vm: VM) -> None:
        pass


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path, [offering(Tap, Deaf)]) as served:
        yield served


@pytest.fixture
def vm(served: Served) -> str:
    """The path of a VM that runs, with a link at each port."""
    vm = served.vm(served.project(), "tap")
    for adapter in range(2):
        nio = {"type": "nio_udp", "lport": served.lab.udp.first + adapter, "rhost": "127.0.0.1", "rport": 9}
        assert served.http.post(f"{vm}/adapters/{adapter}/ports/0/nio", json=nio).status_code == 201
    assert served.http.post(f"{vm}/start").status_code == 204
    return vm


def begin(served: Served, vm: str, adapter: int = 0, name: str = "a.pcap") -> Any:
    body = {"capture_file_name": name, "data_link_type": "DLT_EN10MB"}
    return served.http.post(f"{vm}/adapters/{adapter}/ports/0/start_capture", json=body)


def end(served: Served, vm: str, adapter: int = 0) -> int:
    return int(served.http.post(f"{vm}/adapters/{adapter}/ports/0/stop_capture").status_code)


def captures(served: Served, vm: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = served.http.get(vm).json()["captures"]
    return found


def test_a_capture_has_a_file_of_the_project_and_is_shown_until_it_ends(served: Served, vm: str) -> None:
    assert captures(served, vm) == []
    reply = begin(served, vm)
    assert reply.status_code == 200
    path = Path(reply.json()["pcap_file_path"])
    project = served.http.get(vm.split("/tap/")[0]).json()["path"]
    assert path == Path(project) / "project-files" / "captures" / vm.rsplit("/", 1)[1] / "a.pcap"
    assert path.read_bytes() == FRAME
    assert captures(served, vm) == [{"adapter": 0, "port": 0, "path": str(path)}]
    assert end(served, vm) == 204
    assert path.read_bytes() == FRAME * 2
    assert captures(served, vm) == []
    assert end(served, vm) == 204, "also when there is none"
    assert begin(served, vm).status_code == 200, "in place of the earlier file"


def test_what_cannot_be_captured_is_refused_and_leaves_nothing(served: Served, vm: str) -> None:
    path = Path(begin(served, vm).json()["pcap_file_path"])
    for adapter, name, words in (
        (0, "b.pcap", "already; end that first"),
        (1, "a.pcap", "choose another name"),
        (2, "b.pcap", "has no adapter 2"),
        (1, "refused.pcap", "Not now."),
    ):
        refused = begin(served, vm, adapter, name)
        assert refused.status_code == 409
        assert words in refused.json()["message"]
    assert [one.name for one in path.parent.iterdir()] == ["a.pcap"]
    assert end(served, vm, 2) == 409
    served.http.delete(f"{vm}/adapters/1/ports/0/nio")
    assert "not linked to anything" in begin(served, vm, 1).json()["message"]
    served.http.post(f"{vm}/stop")
    assert "start it first" in begin(served, vm, 1).json()["message"]


@pytest.mark.parametrize("name", ["", "../a", "/etc/passwd", ".a", "a\0", "a\n", "a\\b", "x" * 201])
def test_a_name_that_is_none_of_a_file_is_refused(name: str, served: Served, vm: str) -> None:
    refused = begin(served, vm, name=name)
    assert refused.status_code == 400
    assert "capture_file_name" in refused.json()["message"]
    assert captures(served, vm) == []
    schema = {"$ref": "#/components/schemas/Capture", **served.http.get("/v1/openapi.json").json()}
    assert not jsonschema.Draft202012Validator(schema).is_valid({"capture_file_name": name}), "the document says so too"


def test_a_link_in_place_of_the_file_is_not_followed(served: Served, vm: str, tmp_path: Path) -> None:
    path = Path(begin(served, vm).json()["pcap_file_path"])
    end(served, vm)
    (tmp_path / "precious").write_text("x")
    path.unlink()
    path.symlink_to(tmp_path / "precious")
    assert begin(served, vm).status_code == 200
    assert not path.is_symlink()
    assert (tmp_path / "precious").read_text() == "x"


def test_captures_end_with_their_link_and_with_their_vm(served: Served, vm: str) -> None:
    paths = [Path(begin(served, vm, adapter, f"{adapter}.pcap").json()["pcap_file_path"]) for adapter in range(2)]
    served.http.delete(f"{vm}/adapters/0/ports/0/nio")
    assert paths[0].read_bytes() == FRAME * 2
    assert [one["adapter"] for one in captures(served, vm)] == [1]
    served.http.post(f"{vm}/stop")
    assert captures(served, vm) == []
    assert all(path.exists() for path in paths)


def test_a_kind_that_cannot_capture_has_no_such_route(served: Served) -> None:
    deaf = served.vm(served.project(), "deaf")
    assert begin(served, deaf).status_code == 404
    assert "captures" not in served.http.get(deaf).json()
