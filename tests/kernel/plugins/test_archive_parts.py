"""The hook archive_parts: files of a plugin travel under names of its choice and arrive as the project's own."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from archives import archive, contents
from expect import refusal, shown
from inprocess import Served, own, serving
from labplane import ArchivePart, Arrival, Plugin, hook
from labplane.plugins.loading import Candidate


class Cards(ArchivePart):
    """Keeps a card of the project, which travels under another name."""

    def makes_lab(self, name: str) -> bool:
        return name == "card.travelling"

    def names(self, root: Path) -> Mapping[str, str]:
        return {"card": "card.travelling", "a": "b"}

    def project_name(self, root: Path) -> str | None:
        return (root / "card.travelling").read_text() if (root / "card.travelling").exists() else None

    def adopt(self, root: Path, arrival: Arrival) -> Iterable[str]:
        if (root / "card.travelling").exists():
            (root / "card").write_text(f"{arrival.project_id} {arrival.name} {arrival.vm_ids}")
            (root / "card.travelling").unlink()
            yield "The card was written anew."


class Broken(ArchivePart):
    """Fails at everything."""

    def makes_lab(self, name: str) -> bool:
        raise RuntimeError("no idea")

    names = project_name = adopt = makes_lab  # type: ignore[assignment]


def bringing(*parts: Any, name: str = "cards") -> Candidate:
    class Bringing(Plugin):
        @hook
        def archive_parts(self) -> Iterable[ArchivePart]:
            return parts

    return Candidate(name, lambda: Bringing, "labplane-cards", "1")


def imported(served: Served, files: dict[str, bytes | str]) -> tuple[str, dict[str, Any]]:
    project = served.project()
    return project, shown(served.http.post(f"{project}/import", content=archive(files, None)), 201)


@pytest.mark.parametrize("candidates", [[bringing(Cards())], [bringing(Broken(), name="broken"), bringing(Cards())]])
def test_a_part_names_its_files_and_makes_them_the_projects(tmp_path: Path, candidates: list[Candidate]) -> None:
    """One that fails is passed over, with its traceback in the log, and does not keep labs from travelling."""
    with serving(tmp_path, [*own(), *candidates]) as served:
        project, object_ = imported(served, {"card.travelling": "Deck", "a": "x", "b": "y"})
        assert object_["name"] == "Deck"
        card = f"{object_['project_id']} Deck {{}}"
        assert served.http.get(f"{project}/files/card").text == card
        files = contents(served.http.get(f"{project}/export").content)
    assert {name: files[name] for name in ("card.travelling", "a", "b")} == {
        "card.travelling": card.encode(),
        "a": b"x",  # for another file has the name that it wants
        "b": b"y",
    }


def test_without_a_part_that_knows_it_an_archive_is_none_of_a_lab(tmp_path: Path) -> None:
    """What GNS3 keeps is known to the plugin gns3 alone."""
    with serving(tmp_path, [one for one in own() if one.name != "gns3"]) as served:
        project = served.project()
        for name in ("card.travelling", "project.gns3"):
            refusal(served.http.post(f"{project}/import", content=archive({name: "{}"}, None)), 400)


@pytest.mark.parametrize("parts", [(None,), (Cards,), ("card",)])
def test_what_is_no_part_leaves_its_plugin_out(tmp_path: Path, parts: Any) -> None:
    with serving(tmp_path, [*own(), bringing(*parts)]) as served:
        (report,) = [one for one in served.lab.plugins.reports if one.name == "cards"]
        assert [type(part).__name__ for part in served.lab.archive_parts] == ["TopologyFile"]
    assert report.state == "failed"
    assert "which is no ArchivePart" in (report.error or "")
