"""F-4: names of files are UTF-8 whatever the locale of the server, and what no request can name is told."""

import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

import pytest

from archives import archive, bring, contents, described, export
from expect import nothing, shown
from support import Server, running

NAMES = ["ỹ.txt", "Übung.txt", "日本 🎉.txt"]
ASCII = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}


@pytest.fixture(scope="module")
def latin(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """A locale whose file names are ISO-8859-1, made here, since hosts seldom have one."""
    if shutil.which("localedef") is None:
        pytest.skip("there is no localedef")
    place = tmp_path_factory.mktemp("locales")
    made = subprocess.run(
        ["localedef", "-i", "en_US", "-f", "ISO-8859-1", str(place / "en_US.ISO-8859-1")],
        capture_output=True,
        text=True,
        check=False,
    )
    if not (place / "en_US.ISO-8859-1").is_dir():
        pytest.skip(f"localedef makes no locale: {made.stderr}")
    return {"LC_ALL": "en_US.ISO-8859-1", "LOCPATH": str(place)}


@pytest.fixture(scope="module", params=["ASCII", "ISO-8859-1"])
def foreign(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server in local mode under another locale, in a directory that it could not name itself."""
    environment = ASCII if request.param == "ASCII" else request.getfixturevalue("latin")
    projects = tmp_path_factory.mktemp("locale") / "ỹ" / "projects"
    projects.parent.mkdir()
    with running(projects, "--local", environment=environment) as server:
        encodings = subprocess.run(
            [sys.executable, "-c", "import sys; print(sys.getfilesystemencoding())"],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=True,
        )
        assert encodings.stdout.strip() != "utf-8", "or this shows nothing"
        yield server


@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_written_listed_and_read_under_its_name(foreign: Server, name: str) -> None:
    """F-1 to F-4: to the byte, on disk as well."""
    project = foreign.project()
    nothing(foreign.http.post(f"{project}/files/{quote(name)}", content=b"x"), 200)
    assert [one["path"] for one in shown(foreign.http.get(f"{project}/files"))] == [name]
    assert foreign.http.get(f"{project}/files/{quote(name)}").content == b"x"
    path = shown(foreign.http.get(project))["path"]
    assert path.startswith(str(foreign.projects))
    assert os.listdir(os.fsencode(path)) == [name.encode()]
    nothing(foreign.http.delete(project))


def test_a_sound_archive_comes_in_and_goes_out(foreign: Server) -> None:
    """F-8, F-12, F-13: file names, the project's name in that of its topology, a VM's script."""
    project = foreign.project()
    files: dict[str, bytes | str] = {"project.gns3": '{"topology": {}}', **{f"ä/{name}": name for name in NAMES}}
    description = described({"name": "ỹ", "settings": {"startup_script": "echo ỹ"}}) | {"name": "Lab ỹ"}
    assert bring(foreign, project, archive({**files, "labplane.json": json.dumps(description)}))["name"] == "Lab ỹ"
    paths = {one["path"] for one in shown(foreign.http.get(f"{project}/files"))}
    assert {"Lab ỹ.gns3", *(f"ä/{name}" for name in NAMES)} < paths
    assert {"project.gns3", *(f"ä/{name}" for name in NAMES)} < contents(export(foreign, project)).keys()
    nothing(foreign.http.delete(project))


def test_a_directory_that_a_client_chooses_may_have_any_name(foreign: Server, tmp_path: Path) -> None:
    """P-3."""
    place = tmp_path / "日本"
    made = shown(foreign.http.post("/v1/projects", json={"path": str(place)}), 201)
    assert made["path"] == str(place)
    assert place.is_dir()
    nothing(foreign.http.delete(f"/v1/projects/{made['project_id']}"))


def unnameable(root: Path) -> dict[str, str]:
    """Files below `root` that no reply can have, beside one that every reply has; what is said of each."""
    (root / "fine").write_text("x")
    (root / ".hidden").write_text("x")
    outside = root.parent / "outside"
    outside.write_text("x")
    (root / os.fsdecode(b"d\xff")).mkdir()
    for name in (b"caf\xe9.txt", b"d\xff/in it", b"a\\b", b"a\nb"):
        with open(os.fsencode(root) + b"/" + name, "wb") as file:
            file.write(b"x")
    (root / "out").symlink_to(outside)
    (root / "folder").symlink_to(root.parent)
    os.mkfifo(root / "pipe")
    return {
        r"'caf\\xe9.txt'": "is not UTF-8",
        r"'d\\xff'": "is not UTF-8",
        r"'a\\b'": "a control character or a backslash",
        r"'a\nb'": "a control character or a backslash",
        "'folder'": "is a symbolic link to a directory",
    }


@pytest.mark.parametrize("reply", ["files", "export"])
def test_what_a_reply_leaves_out_is_told(other: Server, other_project: str, reply: str) -> None:
    """F-1, F-8, W-5: to the log, to those who listen, and in an archive itself; what is hidden is not told."""
    told = unnameable(Path(shown(other.http.get(other_project))["path"]))
    with other.http.stream("GET", f"{other_project}/notifications") as stream:
        lines = stream.iter_lines()
        next(lines)  # the ping
        found = other.http.get(f"{other_project}/{reply}")
        event = next(event for event in map(json.loads, lines) if event["action"] == "log.warning")
    message = event["event"]["message"]
    for name, reason in told.items():
        assert name in message
        assert reason in message
    assert message.endswith(" And 1 more.")  # "out"
    assert "hidden" not in message
    assert "pipe" not in message
    assert message in other.log
    if reply == "export":
        with zipfile.ZipFile(io.BytesIO(found.content)) as made:
            assert made.comment.decode() == message
            assert made.namelist() == ["labplane.json", "fine"]
    else:
        assert [one["path"] for one in shown(found)] == ["fine"]


def test_a_reply_that_has_everything_tells_nothing(other: Server, other_project: str) -> None:
    """F-1, F-8."""
    nothing(other.http.post(f"{other_project}/files/fine", content=b"x"), 200)
    before = other.log.count("is not complete")
    shown(other.http.get(f"{other_project}/files"))
    with zipfile.ZipFile(io.BytesIO(export(other, other_project))) as made:
        assert made.comment == b""
    assert other.log.count("is not complete") == before
