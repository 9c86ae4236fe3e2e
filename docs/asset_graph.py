"""The real asset graph as a picture and as a snapshot: `make graph` writes both. A test holds that they are up to date."""

import json
import sys
from html import escape
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "asset-graph.svg"
SNAPSHOT = ROOT / "tests" / "dagster" / "asset_graph.json"

WIDTH, HEIGHT, GAP_X, GAP_Y, BAND_GAP, MARGIN = 168, 52, 56, 22, 40, 24
COLOURS = {"planner": "#2563eb", "writer": "#0d9488", "reports": "#b45309", "compliance": "#7c3aed"}


def snapshot() -> str:
    """What others build on, as JSON: every asset with its parents, group, kinds, tags, owners, partitions and checks."""
    from definitions import defs

    graph = defs.resolve_asset_graph()
    found = {}
    for key in sorted(graph.get_all_asset_keys(), key=str):
        node = graph.get(key)
        found[key.to_user_string()] = {
            "parents": sorted(parent.to_user_string() for parent in node.parent_keys),
            "group": node.group_name,
            "kinds": sorted(node.kinds),
            "tags": {name: value for name, value in sorted(node.tags.items()) if not name.startswith("dagster/")},
            "owners": sorted(node.owners),
            "partitions": _dimensions(node),
            "checks": sorted(check.name for check in node.check_keys),
        }
    return json.dumps(found, indent=2) + "\n"


def draw() -> str:
    """The graph as SVG: a band for each line, in it a column for each step away from its first asset; assets in the colour of their group.

    An edge that others already lead along is left out: triggers come from frames by way of the detectors.
    """
    from definitions import defs

    graph = defs.resolve_asset_graph()
    nodes = {key: graph.get(key) for key in graph.get_all_asset_keys()}
    bands: dict[Any, list[Any]] = {}
    for key in graph.toposorted_asset_keys:
        bands.setdefault(nodes[key].partitions_def, []).append(key)
    place: dict[Any, tuple[float, float]] = {}
    top: float = MARGIN
    for keys in bands.values():
        top = _lay_out(keys, nodes, place, top) + BAND_GAP
    height = top - BAND_GAP + 28 + MARGIN
    width = max(x for x, _ in place.values()) + WIDTH + MARGIN
    lines = [_edge(place[parent], place[key]) for key in sorted(nodes, key=str) for parent in _nearest(key, nodes)]
    boxes = [_box(*place[key], key.path[-1], nodes[key].group_name or "", _partition(nodes[key])) for key in sorted(nodes, key=str)]
    legend = [
        f'<circle cx="{MARGIN + 6 + at * 100}" cy="{height - 18:g}" r="5" fill="{colour}"/>'
        f'<text x="{MARGIN + 17 + at * 100}" y="{height - 14:g}" class="small">{group}</text>'
        for at, (group, colour) in enumerate(COLOURS.items())
    ]
    style = "text{font:600 13px system-ui,sans-serif;fill:#111827}.small{font-weight:400;font-size:12px;fill:#4b5563}"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img" aria-label="Asset graph">',
            f"<style>{style}</style>",
            f'<rect width="{width}" height="{height}" rx="10" fill="#ffffff"/>',
            *lines,
            *boxes,
            *legend,
            "</svg>\n",
        ]
    )


def _lay_out(keys: list[Any], nodes: dict[Any, Any], place: dict[Any, tuple[float, float]], top: float) -> float:
    """Places the assets of one line below `top`; returns where the band ends."""
    column: dict[Any, int] = {}
    for key in keys:
        column[key] = max((column[parent] + 1 for parent in nodes[key].parent_keys), default=0)
    columns = [sorted((key for key in keys if column[key] == at), key=str) for at in range(max(column.values()) + 1)]
    rows = max(len(some) for some in columns)
    for at, some in enumerate(columns):
        free = (rows - len(some)) * (HEIGHT + GAP_Y) / 2
        for row, key in enumerate(some):
            place[key] = (MARGIN + at * (WIDTH + GAP_X), top + free + row * (HEIGHT + GAP_Y))
    return top + rows * HEIGHT + (rows - 1) * GAP_Y


def _nearest(key: Any, nodes: dict[Any, Any]) -> list[Any]:
    """The parents that no other parent comes from, but for those of the content line, whose report reads all of them."""
    parents = nodes[key].parent_keys
    further = {above for parent in parents for above in _ancestors(parent, nodes)} if key.path[0] == "compliance" else set()
    return sorted(parents - further, key=str)


def _ancestors(key: Any, nodes: dict[Any, Any]) -> set[Any]:
    found = set(nodes[key].parent_keys)
    return found.union(*(_ancestors(parent, nodes) for parent in found))


def _partition(node: Any) -> str:
    return "site × day" if len(_dimensions(node)) > 1 else "video"


def _dimensions(node: Any) -> list[str]:
    partitions = node.partitions_def
    return [partitions.name] if hasattr(partitions, "name") and partitions.name else sorted(partitions.partition_dimension_names)


def _box(x: float, y: float, name: str, group: str, partition: str) -> str:
    colour = COLOURS[group]
    return (
        f'<rect x="{x:g}" y="{y:g}" width="{WIDTH}" height="{HEIGHT}" rx="8" fill="#f9fafb" stroke="{colour}" stroke-width="1.5"/>'
        f'<rect x="{x:g}" y="{y:g}" width="6" height="{HEIGHT}" rx="3" fill="{colour}"/>'
        f'<text x="{x + 18:g}" y="{y + 23:g}">{escape(name)}</text><text x="{x + 18:g}" y="{y + 40:g}" class="small">{partition}</text>'
    )


def _edge(start: tuple[float, float], end: tuple[float, float]) -> str:
    x1, y1, x2, y2 = start[0] + WIDTH, start[1] + HEIGHT / 2, end[0], end[1] + HEIGHT / 2
    middle = x1 + GAP_X / 2 if x2 - x1 <= GAP_X else x2 - GAP_X / 2
    if x2 - x1 > GAP_X:  # past a column: through the free lane between two of its rows
        lane = start[1] + HEIGHT + GAP_Y / 2 if start[1] <= end[1] else start[1] - GAP_Y / 2
        start_curve = f"M{x1:g} {y1:g} C{x1 + 30:g} {y1:g} {x1 + 20:g} {lane:g} {x1 + GAP_X:g} {lane:g}"
        path = f"{start_curve} H{middle - 20:g} C{middle:g} {lane:g} {middle:g} {y2:g} {x2:g} {y2:g}"
    else:
        path = f"M{x1:g} {y1:g} C{middle:g} {y1:g} {middle:g} {y2:g} {x2:g} {y2:g}"
    return f'<path d="{path}" fill="none" stroke="#9ca3af" stroke-width="1.5"/>'


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    PICTURE.write_text(draw(), encoding="utf-8")
    SNAPSHOT.write_text(snapshot(), encoding="utf-8")
