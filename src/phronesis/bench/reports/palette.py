"""Colours and marks of pages and charts: two themes, and series that differ for colour-blind readers too."""

from __future__ import annotations

from collections.abc import Mapping

LIGHT: Mapping[str, str] = {
    "paper": "#ffffff",
    "panel": "#f6f7f8",
    "ink": "#1c2126",
    "quiet": "#5b646d",
    "line": "#d9dde1",
    "link": "#0a5a9c",
    "good": "#0b6b4f",
    "bad": "#b23a0e",
    "warn": "#fdf4dc",
    "warn-line": "#d9a521",
    "s0": "#0072b2",
    "s1": "#c84f00",
    "s2": "#00815e",
    "s3": "#a8487f",
    "s4": "#8a6d00",
    "s5": "#5548a8",
    "s6": "#4a5560",
}
DARK: Mapping[str, str] = {
    "paper": "#15181b",
    "panel": "#1e2226",
    "ink": "#e6e9ec",
    "quiet": "#a0a9b2",
    "line": "#353b41",
    "link": "#7cbcf2",
    "good": "#4cc9a0",
    "bad": "#ff9466",
    "warn": "#2d2715",
    "warn-line": "#a8821f",
    "s0": "#56b4e9",
    "s1": "#ff9a5a",
    "s2": "#3ccb9f",
    "s3": "#e69ac6",
    "s4": "#e3c34b",
    "s5": "#a99cf0",
    "s6": "#b4bdc6",
}
"""Series colours follow Okabe and Ito's order, shifted until each has a contrast of 4.5 to its paper."""
COLOURS = 7
MARKS = ("circle", "square", "triangle", "diamond", "cross")
"""Five marks over seven colours: 35 series before one looks like another."""
DASHES = ("", "7 3", "2 3", "9 3 2 3")


def variables() -> str:
    """The style rules that give every colour its name: by the system's theme, or by ``data-theme`` of the root."""
    light, dark = _listed(LIGHT), _listed(DARK)
    series = "".join(f".s{index}{{--c:var(--s{index})}}" for index in range(COLOURS))
    return (
        f":root{{color-scheme:light;{light}}}"
        f"@media (prefers-color-scheme:dark){{:root:not([data-theme=light]){{color-scheme:dark;{dark}}}}}"
        f":root[data-theme=dark]{{color-scheme:dark;{dark}}}"
        f"{series}"
    )


def _listed(colours: Mapping[str, str]) -> str:
    return "".join(f"--{name}:{value};" for name, value in colours.items())


CHART_STYLE = (
    "svg.chart{font-family:system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif;font-size:12.5px;"
    "font-variant-numeric:tabular-nums;display:block}"
    "svg.chart text{fill:var(--ink)}"
    "svg.chart .tick,svg.chart .axis{fill:var(--quiet)}"
    "svg.chart .grid{stroke:var(--line);stroke-width:1;shape-rendering:crispEdges}"
    "svg.chart .base{stroke:var(--quiet);stroke-width:1;shape-rendering:crispEdges}"
    "svg.chart .curve{fill:none;stroke:var(--c);stroke-width:2;stroke-linejoin:round;stroke-linecap:round}"
    "svg.chart .band{fill:var(--c);fill-opacity:.13;stroke:none}"
    "svg.chart .whisker{stroke:var(--c);stroke-width:1.5;stroke-opacity:.75;fill:none}"
    "svg.chart .mark{fill:var(--c);stroke:var(--paper);stroke-width:1.2}"
    "svg.chart .hollow{fill:var(--paper);stroke:var(--c);stroke-width:1.8}"
    "svg.chart .bar{fill:var(--c);fill-opacity:.82}"
    "svg.chart .name{fill:var(--c);stroke:var(--paper);stroke-width:3px;stroke-linejoin:round;paint-order:stroke}"
    "svg.chart .front{fill:none;stroke:var(--quiet);stroke-width:1.3;stroke-dasharray:5 4}"
    "svg.chart .leader{stroke:var(--quiet);stroke-width:.8;stroke-opacity:.7;fill:none}"
)
"""How the parts of a chart look; every colour is a variable."""
