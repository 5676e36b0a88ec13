"""Pictures of labs: DOT, Mermaid and SVG, made from a topology."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

from labplane_labs.labfile import LabFile

BOX = (96, 36)


@dataclass(frozen=True)
class Spot:
    """A node: its name, its kind, and where it stands, None for nowhere yet."""

    name: str
    kind: str
    place: tuple[float, float] | None


@dataclass(frozen=True)
class Line:
    """A link between two nodes, or from one to what is said; each end with its port, "" when not known."""

    one: str
    port: str
    other: str | None
    other_port: str
    leads_to: str = ""


@dataclass(frozen=True)
class Picture:
    name: str
    spots: Sequence[Spot]
    lines: Sequence[Line]


def of_topology(name: str, topology: Mapping[str, Sequence[Mapping[str, object]]]) -> Picture:
    """The picture of a lab that is up."""
    names = {str(node["vm_id"]): str(node["name"]) for node in topology["nodes"]}
    spots = [
        Spot(str(node["name"]), str(node["kind"]), _place(node.get("x"), node.get("y"))) for node in topology["nodes"]
    ]
    lines = []
    for link in topology["links"]:
        ends = link["ends"]
        assert isinstance(ends, list)  # noqa: S101 - K-2
        first, *rest = ends
        other, port = (names[rest[0]["vm_id"]], rest[0]["name"]) if rest else (None, "")
        lines.append(Line(names[first["vm_id"]], first["name"], other, port, str(link["leads_to"] or "")))
    return Picture(name, spots, lines)


def of_file(lab: LabFile) -> Picture:
    """The picture of a lab in a file."""
    spots = [Spot(node.name, node.kind, node.position) for node in lab.nodes.values()]
    lines = []
    for link in lab.links:
        first, *rest = link.ends
        other, port = (rest[0].node, rest[0].port or "") if rest else (None, "")
        lines.append(Line(first.node, first.port or "", other, port, str((link.nio or {}).get("type", ""))))
    return Picture(lab.name, spots, lines)


def dot(picture: Picture) -> str:
    """For Graphviz."""
    numbers = {spot.name: f"n{number}" for number, spot in enumerate(picture.spots)}
    made = [f"graph {_quoted(picture.name)} {{", "    node [shape=box];"]
    for spot in picture.spots:
        at = f' pos="{spot.place[0]:g},{-spot.place[1]:g}"' if spot.place else ""
        made.append(f"    {numbers[spot.name]} [label={_quoted(chr(10).join((spot.name, spot.kind)))}{at}];")
    for count, line in enumerate(picture.lines):
        far = numbers[line.other] if line.other is not None else f"out{count}"
        if line.other is None:
            made.append(f"    {far} [label={_quoted(line.leads_to)} shape=plaintext];")
        labels = f"taillabel={_quoted(line.port)} headlabel={_quoted(line.other_port)}"
        made.append(f"    {numbers[line.one]} -- {far} [{labels}];")
    return "\n".join([*made, "}", ""])


def mermaid(picture: Picture) -> str:
    """For Markdown pages that draw Mermaid."""
    numbers = {spot.name: f"n{number}" for number, spot in enumerate(picture.spots)}
    made = ["graph LR"]
    made += [f'    {numbers[spot.name]}["{_plain(spot.name)}<br>{_plain(spot.kind)}"]' for spot in picture.spots]
    for count, line in enumerate(picture.lines):
        ports = " - ".join(_plain(port) for port in (line.port, line.other_port) if port)
        label = f'|"{ports}"|' if ports else ""
        far = numbers[line.other] if line.other is not None else f'out{count}(["{_plain(line.leads_to)}"])'
        made.append(f"    {numbers[line.one]} ---{label} {far}")
    return "\n".join([*made, ""])


def svg(picture: Picture) -> str:
    """A drawing that stands alone; nodes without a place stand on a circle, the one with most links within it."""
    places = _places(picture)
    least = [min((place[axis] for place in places.values()), default=0) for axis in (0, 1)]
    most = [max((place[axis] for place in places.values()), default=0) for axis in (0, 1)]
    left, top = least[0] - BOX[0], least[1] - BOX[1]
    width, height = most[0] - least[0] + 2 * BOX[0], most[1] - least[1] + 2 * BOX[1]
    made = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{left:g} {top:g} {width:g} {height:g}" '
        f'width="{width:g}" height="{height:g}" font-family="sans-serif" font-size="12" text-anchor="middle">',
        f"<title>{escape(picture.name)}</title>",
        f'<rect x="{left:g}" y="{top:g}" width="{width:g}" height="{height:g}" fill="white"/>',
    ]
    for line in picture.lines:
        x, y = places[line.one]
        x2, y2 = places[line.other] if line.other is not None else (x + BOX[0] * 0.8, y + BOX[1] * 0.9)
        ends = " -- ".join(filter(None, (f"{line.one}:{line.port}", line.other and f"{line.other}:{line.other_port}")))
        made.append(
            f'<line x1="{x:g}" y1="{y:g}" x2="{x2:g}" y2="{y2:g}" stroke="#555"><title>{escape(ends)}</title></line>'
        )
        if line.leads_to:
            made.append(f'<text x="{x2:g}" y="{y2 + 10:g}" font-size="10">{escape(line.leads_to)}</text>')
        for port, (a, b), (c, d) in ((line.port, (x, y), (x2, y2)), (line.other_port, (x2, y2), (x, y))):
            if port:
                made.append(
                    f'<text x="{a + (c - a) * 0.3:g}" y="{b + (d - b) * 0.3:g}" font-size="9" fill="#555">'
                    f"{escape(port)}</text>"
                )
    for spot in picture.spots:
        x, y = places[spot.name]
        made.append(
            f'<g><rect x="{x - BOX[0] / 2:g}" y="{y - BOX[1] / 2:g}" width="{BOX[0]}" height="{BOX[1]}" rx="6" '
            f'fill="#eef4fb" stroke="#357" data-node={quoteattr(spot.name)}/>'
            f'<text x="{x:g}" y="{y - 1:g}">{escape(spot.name)}</text>'
            f'<text x="{x:g}" y="{y + 12:g}" font-size="9" fill="#555">{escape(spot.kind)}</text></g>'
        )
    return "\n".join([*made, "</svg>", ""])


def _places(picture: Picture) -> dict[str, tuple[float, float]]:
    places = {spot.name: spot.place for spot in picture.spots if spot.place is not None}
    rest = [spot.name for spot in picture.spots if spot.place is None]
    right = max((place[0] for place in places.values()), default=0.0) + (3 * BOX[0] if places else 0)
    degree = Counter(end for line in picture.lines for end in (line.one, line.other) if end is not None)
    hub = max(rest, key=lambda name: degree[name], default=None)
    around = rest if hub is None or degree[hub] < 3 else [name for name in rest if name != hub]
    radius = max(110.0, len(around) * BOX[0] * 1.25 / (2 * math.pi))
    for number, name in enumerate(around):
        turn = 2 * math.pi * number / len(around) - math.pi / 2
        places[name] = (right + radius + radius * math.cos(turn), radius + radius * math.sin(turn))
    if hub is not None and hub not in around:
        places[hub] = (right + radius, radius)
    return places


def _place(x: object, y: object) -> tuple[float, float] | None:
    return (float(x), float(y)) if isinstance(x, int | float) and isinstance(y, int | float) else None


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def _plain(text: str) -> str:
    """Text within a Mermaid label."""
    return escape(text, {'"': "#quot;"})


FORMS = {"svg": svg, "mermaid": mermaid, "dot": dot}
