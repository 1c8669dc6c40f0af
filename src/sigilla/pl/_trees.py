"""Where the classes of a nearest-code graph stand, in inches, without overlaps.

Every class points to one other, and only the closest two of a connected part point to each other:
each part is two trees whose roots face each other. One grows to the left, one to the right.
"""

from __future__ import annotations

import textwrap
import unicodedata
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import networkx as nx

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

FONT = 8.0
_LINE = FONT * 1.2 / 72
_BOX_PAD = 0.06
_ROW_GAP = 0.09
_LEVEL_GAP = 0.62
_PART_GAP = 0.4
_WRAP = 25
_ASPECT = 1.5


@dataclass
class Node:
    """A class's box: centre, size, and the text in it."""

    text: str
    width: float
    height: float
    x: float = 0.0
    y: float = 0.0
    paired: bool = False


@dataclass
class Layout:
    """All boxes, and the size of the whole with its lower left corner at the origin."""

    nodes: dict[str, Node]
    width: float = 0.0
    height: float = 0.0
    parts: list[list[str]] = field(default_factory=list)


def lay_out(edges: pd.DataFrame, shown: Sequence[str]) -> Layout:
    """Boxes for the ``code`` column of a nearest-codes table; ``shown`` are the texts, in order."""
    layout = Layout(
        {code: _node(text) for code, text in zip(edges["code"], shown, strict=True)},
    )
    graph = nx.DiGraph()
    graph.add_nodes_from(edges["code"])
    linked = edges.dropna(subset=["nearest"])
    # Rows come closest first, and so do the followers of each class.
    graph.add_edges_from(zip(linked["code"], linked["nearest"], strict=True))
    position = {code: i for i, code in enumerate(edges["code"])}
    boxes = []
    for part in nx.weakly_connected_components(graph):
        members = sorted(part, key=position.__getitem__)
        layout.parts.append(members)
        boxes.append(_place_part(graph, members, layout.nodes))
    _pack(layout, boxes)
    return layout


def _node(text: str) -> Node:
    lines = textwrap.wrap(text, _WRAP) or [""]
    width = max(map(_text_width, lines)) + 2 * _BOX_PAD
    return Node("\n".join(lines), width, len(lines) * _LINE + 1.2 * _BOX_PAD)


def _text_width(line: str) -> float:
    """Inches of a line in a sans-serif face; an estimate that needs no font at hand."""
    em = sum(
        1.0 if unicodedata.east_asian_width(c) in "WF" else 0.72 if c.isupper() else 0.6
        for c in line
    )
    return em * FONT / 72


def _place_part(
    graph: nx.DiGraph, members: list[str], nodes: dict[str, Node]
) -> tuple[float, float, float, float]:
    """Place one connected part around the origin; returns its left, bottom, right and top."""
    first = members[0]
    partner = next(iter(graph.successors(first)), None)
    roots = [(first, -1)] if partner is None else [(first, -1), (partner, 1)]
    for root, side in roots:
        nodes[root].paired = partner is not None
        followers = _followers(graph, root, {r for r, _ in roots})
        levels = _levels(followers, root)
        inner = 0.0 if partner is None else _LEVEL_GAP / 2
        for level in levels:
            width = max(nodes[n].width for n in level)
            for n in level:
                # Boxes of a level line up on the side that faces their target.
                nodes[n].x = side * (inner + nodes[n].width / 2)
            inner += width + _LEVEL_GAP
        height = _block(followers, root, nodes)
        _spread(followers, root, nodes, top=height / 2)
    boxes = [nodes[m] for m in members]
    return (
        min(b.x - b.width / 2 for b in boxes),
        min(b.y - b.height / 2 for b in boxes),
        max(b.x + b.width / 2 for b in boxes),
        max(b.y + b.height / 2 for b in boxes),
    )


def _followers(graph: nx.DiGraph, root: str, roots: set[str]) -> dict[str, list[str]]:
    """Who points to whom, from ``root`` outwards."""
    followers, todo = {}, [root]
    while todo:
        target = todo.pop()
        followers[target] = [n for n in graph.predecessors(target) if n not in roots]
        todo += followers[target]
    return followers


def _levels(followers: dict[str, list[str]], root: str) -> list[list[str]]:
    levels = [[root]]
    while further := [n for target in levels[-1] for n in followers[target]]:
        levels.append(further)
    return levels


def _block(followers: dict[str, list[str]], code: str, nodes: dict[str, Node]) -> float:
    """Height that a class and all that follow it need."""
    below = sum(_block(followers, n, nodes) for n in followers[code])
    return max(nodes[code].height + _ROW_GAP, below)


def _spread(
    followers: dict[str, list[str]], code: str, nodes: dict[str, Node], *, top: float
) -> None:
    height = _block(followers, code, nodes)
    nodes[code].y = top - height / 2
    needed = sum(_block(followers, n, nodes) for n in followers[code])
    at = top - (height - needed) / 2
    for n in followers[code]:
        _spread(followers, n, nodes, top=at)
        at -= _block(followers, n, nodes)


def _pack(layout: Layout, boxes: list[tuple[float, float, float, float]]) -> None:
    """Fit the parts into a rectangle, the tallest first, in about a page's proportions."""
    sizes = [
        (right - left + _PART_GAP, top - bottom + _PART_GAP) for left, bottom, right, top in boxes
    ]
    order = sorted(range(len(boxes)), key=lambda i: (-sizes[i][1], -sizes[i][0]))
    widest, whole = max(w for w, _ in sizes), sum(w for w, _ in sizes)
    best: tuple[float, dict[int, tuple[float, float]]] | None = None
    for i in range(31):
        places = _fill(order, sizes, limit=widest + (whole - widest) * i / 30)
        width = max(places[j][0] + sizes[j][0] for j in order)
        height = max(places[j][1] + sizes[j][1] for j in order)
        # Least paper, counted as a page of these proportions that holds it.
        paper = max(width, height * _ASPECT)
        if best is None or paper < best[0]:
            best = paper, places
            layout.width, layout.height = width - _PART_GAP, height - _PART_GAP
    for i, (left, top) in best[1].items() if best else ():
        for member in layout.parts[i]:
            node = layout.nodes[member]
            node.x += left - boxes[i][0]
            node.y += layout.height - top - boxes[i][3]


def _fill(
    order: list[int], sizes: list[tuple[float, float]], limit: float
) -> dict[int, tuple[float, float]]:
    """Left edge and distance from the top of each part: the highest place, then the leftmost."""
    places: dict[int, tuple[float, float]] = {}
    for i in order:
        width, height = sizes[i]
        lefts = {0.0, *(x + sizes[j][0] for j, (x, _) in places.items())}
        tops = {0.0, *(y + sizes[j][1] for j, (_, y) in places.items())}
        places[i] = min(
            (
                (x, y)
                for x in lefts
                for y in tops
                if x + width <= limit + 1e-9
                and not any(
                    x < u + sizes[j][0] - 1e-9
                    and u < x + width - 1e-9
                    and y < v + sizes[j][1] - 1e-9
                    and v < y + height - 1e-9
                    for j, (u, v) in places.items()
                )
            ),
            key=lambda place: (place[1], place[0]),
        )
    return places
