"""A drawing of the CPU time per call: one dot per subject on a logarithmic axis, its spread as a line. Plain SVG."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

LEFT, RIGHT, TOP, STEP, WIDTH = 350, 90, 64, 28, 920
_STYLE = """
    .b { fill: #ffffff; }
    .t { font: 600 15px system-ui, sans-serif; fill: #1f2328; }
    .s { font: 13px system-ui, sans-serif; fill: #1f2328; }
    .m { font: 12px system-ui, sans-serif; fill: #59636e; }
    .g { stroke: #d1d9e0; stroke-width: 1; }
    .d { fill: #59636e; stroke: #59636e; }
    .o { fill: #0969da; stroke: #0969da; }
    .f { fill: #9a6700; stroke: #9a6700; }
    @media (prefers-color-scheme: dark) {
      .b { fill: #0d1117; } .t, .s { fill: #f0f6fc; } .m { fill: #9198a1; } .g { stroke: #3d444d; }
      .d { fill: #9198a1; stroke: #9198a1; } .o { fill: #4493f8; stroke: #4493f8; } .f { fill: #d29922; stroke: #d29922; }
    }
"""


def _chosen(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    here = [row for row in rows if (row["figure"], row["reply"], row["in_flight"]) == ("cpu", "1KB", 64)]
    return sorted(here, key=lambda row: float(row["cpu_ms"]["median"]))


def _marks(least: float, most: float) -> list[float]:
    """1, 2 and 5 times powers of ten, from the last one below to the first one above."""
    powers = range(math.floor(math.log10(least)), math.ceil(math.log10(most)) + 1)
    marks = [digit * 10.0**power for power in powers for digit in (1, 2, 5)]
    first = max(index for index, mark in enumerate(marks) if mark <= least)
    last = min(index for index, mark in enumerate(marks) if mark >= most)
    return marks[first : last + 1]


def drawn(rows: Sequence[Mapping[str, Any]]) -> str:
    """The drawing: 1 KB replies, 64 calls in flight, least first. Ours blue, the floor amber, peers grey."""
    chosen = _chosen(rows)
    values = [value for row in chosen for value in (row["cpu_ms"]["low"], row["cpu_ms"]["high"])] or [0.1, 1.1]
    marks = _marks(min(values), max(values))
    low, high = math.log10(marks[0]), math.log10(marks[-1])
    span = WIDTH - LEFT - RIGHT
    height = TOP + STEP * len(chosen) + 34

    def x(value: float) -> float:
        return round(LEFT + span * (math.log10(value) - low) / (high - low), 1)

    bottom = TOP + STEP * len(chosen)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        "  <title>CPU milliseconds per model call, logarithmic axis</title>",
        f"  <style>{_STYLE}  </style>",
        f'  <rect class="b" width="{WIDTH}" height="{height}"/>',
        '  <text class="t" x="16" y="26">CPU milliseconds per model call (logarithmic)</text>',
        '  <text class="m" x="16" y="46">1 KB replies, 64 calls in flight, median and spread; '
        "blue: phronesis, amber: the floor, grey: peers</text>",
    ]
    for mark in marks:
        parts.append(f'  <path class="g" d="M{x(mark)} {TOP - 6} V{bottom}"/>')
        parts.append(f'  <text class="m" x="{x(mark)}" y="{bottom + 18}" text-anchor="middle">{mark:g}</text>')
    for index, row in enumerate(chosen):
        y = TOP + STEP * index + STEP / 2
        kind = "o" if row["ours"] else "d" if row["peer"] else "f"
        taken = row["cpu_ms"]
        parts.append(f'  <text class="s" x="{LEFT - 16}" y="{y + 4}" text-anchor="end">{escape(row["subject"])}</text>')
        parts.append(f'  <path class="{kind}" stroke-width="3" d="M{x(taken["low"])} {y} H{x(taken["high"])}"/>')
        parts.append(f'  <circle class="{kind}" cx="{x(taken["median"])}" cy="{y}" r="5"/>')
        end = max(x(taken["high"]), x(taken["median"]) + 5) + 8
        parts.append(f'  <text class="m" x="{end}" y="{y + 4}">{taken["median"]:.2f}</text>')
    return "\n".join([*parts, "</svg>", ""])
