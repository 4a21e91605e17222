"""Writes a run's figures into docs/performance.md, between ``<!-- bench: NAME -->`` and ``<!-- end -->``; draws overhead.svg.

The JSON files under results/ are the only source; a test compares page and drawing with them.

Example: python benchmarks/tables.py
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bars import BARS, Results
from plot import drawn

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "performance.md"
PLOT = ROOT / "docs" / "overhead.svg"
_PLACE = re.compile(r"(<!-- bench: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
Run = Mapping[str, Any]
_KINDS = {"1KB": "1 KB reply", "100KB": "100 KB reply", "logprobs": "100 KB reply with log-probabilities"}
_WALLS = {
    "fan_out_64": "64 calls side by side, 50 ms each",
    "best_of_8": "8 attempts, 50 ms each",
    "fan_out_256": "256 calls side by side",
}


def load() -> dict[str, Run]:
    """The saved runs by name; one that was never saved is empty."""
    found: dict[str, Run] = {}
    for name in ("overhead", "imports", "memory", "runner"):
        file = ROOT / "benchmarks" / "results" / f"{name}.json"
        found[name] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {"rows": [], "failures": []}
    return found


def table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, the first column to the left."""
    rule = ["---", *["---:"] * (len(heading) - 1)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (heading, rule, *rows))


def number(value: float) -> str:
    """Three figures at the most."""
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def provenance(runs: Mapping[str, Run]) -> str:
    """When, where and with which versions."""
    run = runs["overhead"]
    if not run["rows"]:
        return "Nothing was measured yet.\n"
    versions = {**run["versions"], "Python": run["python"]}
    pins = sorted({pin for pins in run["peers"].values() for pin in pins})
    rough = " This was a quick run; the figures are rough." if run["quick"] else ""
    return (
        f"Measured on {run['date']}: {run['cpu']}, {run['cores']} cores shared by mock and client, "
        f"load average {run['load']} before and {run['load_after']} after the run. "
        f"{', '.join(f'{name} {value}' for name, value in versions.items())}; peers {', '.join(pins)}.{rough}\n"
    )


def bars(runs: Mapping[str, Run]) -> str:
    """Each bar with our figure, met or not, and the best peer's in the same run."""
    results: Results = {name: run["rows"] for name, run in runs.items()}
    rows = []
    for bar in BARS:
        ours, peer, met = bar.ours(results), bar.peer(results), bar.met(results)
        said = {True: "met", False: "**not met**", None: "not measured"}[met]
        beside = "-" if peer is None else f"{number(peer[0])} ({peer[1]})"
        limit = f"{'at least ' if bar.least else ''}{bar.limit:g} {bar.unit}"
        rows.append([bar.figure, limit, "-" if ours is None else number(ours[0]), said, beside])
    return table(["figure", "bar", "measured", "", "best peer in the same run"], rows)


def cpu(runs: Mapping[str, Run]) -> str:
    """CPU per call of every subject at every setting, one table per kind of reply."""
    run, parts = runs["overhead"], []
    for kind, title in _KINDS.items():
        rows = [row for row in run["rows"] if row["figure"] == "cpu" and row["reply"] == kind]
        widths = sorted({row["in_flight"] for row in rows})
        cells = {(row["subject"], row["in_flight"]): _cpu_cell(row) for row in rows}
        subjects = list(dict.fromkeys(row["subject"] for row in rows))
        body = [[name, *(cells.get((name, width), "-") for width in widths)] for name in subjects]
        parts.append(f"{title}:\n\n" + table(["", *(f"{width} in flight" for width in widths)], body))
    return "\n".join(parts)


def _cpu_cell(row: Mapping[str, Any]) -> str:
    taken = row["cpu_ms"]
    ratio = f", {number(row['over_floor'])} x" if "over_floor" in row else ""
    return f"{number(taken['median'])} ({number(taken['low'])} - {number(taken['high'])}){ratio}"


def wall(runs: Mapping[str, Run]) -> str:
    """Wall clock of the fan-outs against the latency of one call."""
    run, parts = runs["overhead"], []
    for figure, title in _WALLS.items():
        rows = [row for row in run["rows"] if row["figure"] == figure]
        if not rows:
            continue
        latency = f", {rows[0]['latency_ms'] / 1000:g} s each" if figure == "fan_out_256" else ""
        body = [_wall_cells(row) for row in rows]
        heading = ["", "ms wall clock", "x one call", "peak in flight", "requests", "connections"]
        parts.append(f"{title}{latency}:\n\n" + table(heading, body))
    return "\n".join(parts)


def _wall_cells(row: Mapping[str, Any]) -> list[str]:
    taken, latency = row["wall_ms"], row["latency_ms"]
    spread = f"{number(taken['median'])} ({number(taken['low'])} - {number(taken['high'])})"
    counted = [str(row[name]) for name in ("peak", "requests", "connections")]
    return [row["subject"], spread, number(taken["median"] / latency), *counted]


def imports(runs: Mapping[str, Run]) -> str:
    """Time, memory and third-party packages of each import and command."""
    body = []
    for row in runs["imports"]["rows"]:
        taken = row["seconds"]
        spread = f"{taken['median']:.3f} ({taken['low']:.3f} - {taken['high']:.3f})"
        body.append([f"`{row['target']}`", spread, str(row["peak_mb"]), str(len(row["packages"]))])
    return table(["", "seconds", "peak MB", "third-party packages loaded"], body)


def memory(runs: Mapping[str, Run]) -> str:
    """What each store costs, by number of concepts, and when and where that was measured."""
    run = runs["memory"]
    if not run["rows"]:
        return "Nothing was measured yet.\n"
    heading = [
        "", "search ms, p50 (p95)", "recall@10", "hybrid recall ms", "add ms", "learn ms", "batch add ms each", "build s",
        "open s", "disk MB", "memory MB",
    ]  # fmt: skip
    parts = [_memory_provenance(run)]
    for count in sorted({row["concepts"] for row in run["rows"]}):
        body = [_memory_cells(row) for row in run["rows"] if row["concepts"] == count]
        parts.append(f"{count:,} concepts:\n\n" + table(heading, body))
    return "\n".join(parts)


def _memory_provenance(run: Run) -> str:
    versions = ", ".join(f"{name} {value}" for name, value in run["versions"].items())
    rough = " This was a quick run; the figures are rough." if run["quick"] else ""
    return (
        f"Measured on {run['date']}: {run['cpu']}, {run['cores']} cores, load average {run['load']} before and "
        f"{run['load_after']} after the run; {versions}.{rough}\n"
    )


def _memory_cells(row: Mapping[str, Any]) -> list[str]:
    def times(name: str) -> str:
        return f"{number(row[name]['p50'])} ({number(row[name]['p95'])})" if name in row else "-"

    def plain(name: str) -> str:
        return number(row[name]) if name in row else "-"

    return [
        row["subject"],
        times("search_ms"),
        f"{row['recall_at_10']:.4f}",
        *(times(name) for name in ("hybrid_ms", "add_ms", "write_ms")),
        *(plain(name) for name in ("batch_ms", "build_s", "open_s", "disk_mb", "rss_mb")),
    ]


def runner(runs: Mapping[str, Run]) -> str:
    """Problems per second and peak memory of the bench's runner, and when and where that was measured."""
    run = runs["runner"]
    if not run["rows"]:
        return "Nothing was measured yet.\n"
    versions = ", ".join(f"{name} {value}" for name, value in run["versions"].items())
    pins = ", ".join(pin for pins in run["peers"].values() for pin in pins)
    rough = " This was a quick run; the figures are rough." if run["quick"] else ""
    body = []
    for row in run["rows"]:
        rate, each = row["per_second"], row["cpu_ms"]
        ratio = f"{number(row['times_peer'])} x" if "times_peer" in row else "-"
        spread = f"{number(rate['median'])} ({number(rate['low'])} - {number(rate['high'])})"
        body.append([row["subject"], spread, ratio, number(each["median"]), str(row["peak"])])
    heading = ["", "problems/s", "the peer's rate", "ms CPU each", "peak in flight"]
    sizes = sorted({row["problems"] for row in run["memory"]})
    peaks = {(row["subject"], row["problems"]): f"{row['peak_mb']:.0f}" for row in run["memory"]}
    subjects = list(dict.fromkeys(row["subject"] for row in run["memory"]))
    held = [[name, *(peaks.get((name, size), "-") for size in sizes)] for name in subjects]
    return (
        f"Measured on {run['date']}: {run['cpu']}, {run['cores']} cores shared by mock and subject, load average "
        f"{run['load']} before and {run['load_after']} after the run; {versions}; {pins}.{rough}\n\n"
        + table(heading, body)
        + "\nPeak memory of a process, MB:\n\n"
        + table(["", *(f"{size:,} problems" for size in sizes)], held)
    )


def failures(runs: Mapping[str, Run]) -> str:
    """What could not be measured, with the reason."""
    run = runs["overhead"]
    lines = [f"- {name}: {reason}" for name, reason in run.get("missing", {}).items()]
    lines += [f"- {item['subject']} ({item['setting']}): {item['reason']}" for item in run["failures"]]
    lines += [f"- {item['target']}: {item['reason']}" for item in runs["imports"]["failures"]]
    lines += [f"- {item['subject']} ({item['setting']}): {item['reason']}" for item in runs["memory"]["failures"]]
    lines += [f"- {item['subject']} ({item['figure']}): {item['reason']}" for item in runs["runner"]["failures"]]
    return "Could not be measured:\n\n" + "\n".join(lines) + "\n" if lines else "Everything could be measured.\n"


SECTIONS = {
    "provenance": provenance,
    "bars": bars,
    "cpu": cpu,
    "wall": wall,
    "imports": imports,
    "memory": memory,
    "runner": runner,
    "failures": failures,
}


def renewed(text: str, runs: Mapping[str, Run]) -> str:
    """The page with every table made again."""
    return _PLACE.sub(lambda match: f"{match[1]}\n{SECTIONS[match[2]](runs)}\n{match[3]}", text)


def main() -> int:
    """Rewrites page and drawing; names what changed."""
    runs = load()
    made = {PAGE: renewed(PAGE.read_text(encoding="utf-8"), runs), PLOT: drawn(runs["overhead"]["rows"])}
    for path, text in made.items():
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print(f"written: {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
