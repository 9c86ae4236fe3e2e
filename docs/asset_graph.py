"""The real asset graph as a picture and as a snapshot: `make graph` writes both. A test holds that they are up to date."""

import json
import sys
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "asset-graph.svg"
SNAPSHOT = ROOT / "tests" / "dagster" / "asset_graph.json"

WIDTH, HEIGHT, GAP_X, GAP_Y, MARGIN = 168, 52, 56, 22, 24
COLOURS = {"planner": "#2563eb", "writer": "#0d9488", "reports": "#b45309"}


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
            "partitions": sorted(node.partitions_def.partition_dimension_names),
            "checks": sorted(check.name for check in node.check_keys),
        }
    return json.dumps(found, indent=2) + "\n"


def draw() -> str:
    """The graph as SVG: a column for each step away from the keywords, assets in the colour of their group."""
    from definitions import defs

    graph = defs.resolve_asset_graph()
    nodes = {key: graph.get(key) for key in graph.get_all_asset_keys()}
    column = {}
    for key in graph.toposorted_asset_keys:
        column[key] = max((column[parent] + 1 for parent in nodes[key].parent_keys), default=0)
    columns = [sorted((key for key in nodes if column[key] == at), key=str) for at in range(max(column.values()) + 1)]
    rows = max(len(keys) for keys in columns)
    height = 2 * MARGIN + rows * HEIGHT + (rows - 1) * GAP_Y + 28
    place = {}
    for at, keys in enumerate(columns):
        free = (rows - len(keys)) * (HEIGHT + GAP_Y) / 2
        for row, key in enumerate(keys):
            place[key] = (MARGIN + at * (WIDTH + GAP_X), MARGIN + free + row * (HEIGHT + GAP_Y))
    width = 2 * MARGIN + len(columns) * WIDTH + (len(columns) - 1) * GAP_X
    lines = [_edge(place[parent], place[key]) for key in sorted(nodes, key=str) for parent in sorted(nodes[key].parent_keys, key=str)]
    boxes = [_box(*place[key], key.path[-1], nodes[key].group_name or "") for key in sorted(nodes, key=str)]
    legend = [
        f'<circle cx="{MARGIN + 6 + at * 90}" cy="{height - 18}" r="5" fill="{colour}"/>'
        f'<text x="{MARGIN + 17 + at * 90}" y="{height - 14}" class="small">{group}</text>'
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


def _box(x: float, y: float, name: str, group: str) -> str:
    colour = COLOURS[group]
    return (
        f'<rect x="{x:g}" y="{y:g}" width="{WIDTH}" height="{HEIGHT}" rx="8" fill="#f9fafb" stroke="{colour}" stroke-width="1.5"/>'
        f'<rect x="{x:g}" y="{y:g}" width="6" height="{HEIGHT}" rx="3" fill="{colour}"/>'
        f'<text x="{x + 18:g}" y="{y + 23:g}">{escape(name)}</text><text x="{x + 18:g}" y="{y + 40:g}" class="small">site × day</text>'
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
