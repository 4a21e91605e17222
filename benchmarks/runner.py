"""What the bench's runner costs beyond the model: problems per second and peak memory, beside inspect_ai in one run.

Against one mock, every subject solves, grades and writes down the same problems, 64 in work at a time. Subjects take turns
within each repetition; a repetition's figure is what further problems cost beyond a first round. Memory is the peak of a
process that does nothing else.

Example: python benchmarks/runner.py --quick --no-peers
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from driving import Driver, DriverFailed, Drivers
from fake_model import Served
from machine import PATH, described
from overhead import say, spread
from peer_environments import DEFAULT_HOME, PINS, PeerMissing, interpreter

RESULTS = Path(__file__).parent / "results" / "runner.json"
IN_FLIGHT = 64
LATENCY = 20
"""Milliseconds of each reply."""
PEER = "inspect_ai"
Row = dict[str, Any]


@dataclass(frozen=True)
class Subject:
    """One way of running problems."""

    name: str
    figure: str
    """``direct`` (one call a problem) or ``votes`` (four)."""
    script: str
    peer: str | None = None
    most: int = 128
    """Choices per request that the mock grants it."""
    options: Mapping[str, Any] = field(default_factory=dict)

    def job(self, host: str, problems: int) -> dict[str, Any]:
        path = f"/{LATENCY}/1KB/{self.most}"
        return {"host": host, "path": path, "calls": problems, "in_flight": IN_FLIGHT, "options": dict(self.options)}


def _ours(name: str, figure: str, recipe: str, most: int = 128, **knobs: Any) -> Subject:
    overrides = {f"knobs.{knob}": value for knob, value in knobs.items()}
    return Subject(name, figure, "bench_problems.py", most=most, options={"recipe": recipe, "overrides": overrides})


SUBJECTS = (
    _ours("phronesis bench, direct", "direct", "direct"),
    Subject("inspect_ai eval, generate", "direct", "inspect_problems.py", peer=PEER),
    _ours("phronesis bench, self_consistency k = 4", "votes", "self_consistency", k=4),
    _ours("phronesis bench, self_consistency k = 4, one choice a request", "votes", "self_consistency", most=1, k=4),
    Subject("inspect_ai eval, 4 epochs", "votes", "inspect_problems.py", peer=PEER, options={"epochs": 4}),
)


def rates(subjects: Sequence[Subject], drivers: Drivers, host: str, problems: int, repetitions: int) -> list[Row]:
    """A row per subject that could be measured: problems per second and CPU per problem, and how much faster than the peer
    of the same figure in the same repetition; a row with ``reason`` for one that could not."""
    taken: dict[str, list[Row]] = {subject.name: [] for subject in subjects}
    failed: dict[str, str] = {}
    for _ in range(repetitions):
        for subject in subjects:
            if subject.name not in failed:
                try:
                    job = subject.job(host, problems)
                    taken[subject.name].append(drivers.of(subject.script, subject.peer).ask(job, timeout=600))
                except (DriverFailed, PeerMissing) as error:
                    failed[subject.name] = PATH.sub("...", str(error))
                    say(f"  {subject.name}: {error}")
    peers = {subject.figure: taken[subject.name] for subject in subjects if subject.peer}
    rows = []
    for subject in subjects:
        if subject.name in failed:
            rows.append({"subject": subject.name, "figure": subject.figure, "reason": failed[subject.name]})
            continue
        mine = taken[subject.name]
        row: Row = {
            "subject": subject.name,
            "figure": subject.figure,
            "peer": subject.peer,
            "problems": problems,
            "repetitions": repetitions,
            "calls": mine[-1]["calls"],
            "requests": mine[-1]["requests"],
            "peak": max(item["peak"] for item in mine),
            "per_second": spread([problems / item["wall"] for item in mine], 1),
            "cpu_ms": spread([1000 * item["cpu"] / problems for item in mine]),
        }
        beside = peers.get(subject.figure, [])
        if beside and not subject.peer:
            row["times_peer"] = round(
                median(its["wall"] / my["wall"] for my, its in zip(mine, beside, strict=False)), 2
            )
        rows.append(row)
    return rows


def peak(subject: Subject, host: str, problems: int, peers_home: Path, scratch: Path) -> Row:
    """Peak memory of a process that runs so many problems, and what it was after the first round."""
    python = Path(sys.executable) if subject.peer is None else interpreter(subject.peer, peers_home)
    driver = Driver(subject.script, python, scratch)
    try:
        taken = driver.ask(subject.job(host, problems), timeout=3600)
    finally:
        driver.close()
    figures = {name: taken[name] for name in ("peak_mb_before", "peak_mb")}
    return {"subject": subject.name, "peer": subject.peer, "problems": problems, **figures}


def shown(row: Row) -> str:
    """One line for the terminal."""
    if "peak_mb" in row:
        before, after = row["peak_mb_before"], row["peak_mb"]
        return f"  {row['subject']:<64}{row['problems']:7} problems{before:9.0f} MB -> {after:.0f} MB"
    rate, ratio = row["per_second"], row.get("times_peer")
    beside = "" if ratio is None else f"  {ratio:.1f} x {PEER}"
    return (
        f"  {row['subject']:<64}{rate['median']:7.0f} problems/s ({rate['low']:.0f} - {rate['high']:.0f})"
        f"{row['cpu_ms']['median']:8.2f} ms CPU each{beside}"
    )


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer problems; the figures are rough")
    parser.add_argument("--no-peers", action="store_true", help="ours only; nothing is installed")
    parser.add_argument("--peers-home", type=Path, default=DEFAULT_HOME, help="folder of the peers' environments")
    parser.add_argument("--only", default="", help="comma-separated words; subjects that contain one")
    parser.add_argument("--memory", default="", help="comma-separated numbers of problems; 0 = memory is not measured")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--save", action="store_true", help=f"write {RESULTS.parent.name}/{RESULTS.name}")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """0 = measured; 1 = something of ours could not be; 2 = wrong usage."""
    asked = _arguments(argv)
    only = [word for word in asked.only.split(",") if word]
    subjects = [item for item in SUBJECTS if not only or any(word in item.name for word in only)]
    subjects = [item for item in subjects if not (item.peer and asked.no_peers)]
    if not subjects:
        print(f"--only {asked.only!r} names no subject", file=sys.stderr)
        return 2
    try:
        sizes = [int(word) for word in (asked.memory or ("256" if asked.quick else "1000,10000")).split(",")]
    except ValueError:
        print(f"--memory {asked.memory!r} is no list of numbers", file=sys.stderr)
        return 2
    problems, repetitions = (64, 1) if asked.quick else (1000, 3)
    result: dict[str, Any] = {
        **described("phronesis", "langgraph", "aiohttp"),
        "quick": asked.quick,
        "peers": {PEER: list(PINS[PEER])} if any(item.peer for item in subjects) else {},
        "in_flight": IN_FLIGHT,
        "latency_ms": LATENCY,
        "rows": [],
        "memory": [],
        "failures": [],
    }
    with (
        tempfile.TemporaryDirectory() as scratch,
        Served() as host,
        Drivers(asked.peers_home, Path(scratch)) as drivers,
    ):
        for row in rates(subjects, drivers, host, problems, repetitions):
            result["failures" if "reason" in row else "rows"].append(row)
            if "reason" not in row:
                say(shown(row))
        for size in filter(None, sizes):
            for subject in subjects:
                if subject.peer and subject.figure != "direct":
                    continue  # it would take a quarter of an hour
                try:
                    row = peak(subject, host, size, asked.peers_home, Path(scratch))
                except (DriverFailed, PeerMissing) as error:
                    row = {"subject": subject.name, "figure": "memory", "reason": PATH.sub("...", str(error))}
                result["failures" if "reason" in row else "memory"].append(row)
                say(shown(row) if "reason" not in row else f"  {subject.name}: {row['reason']}")
    result["load_after"] = round(os.getloadavg()[0], 2)
    if asked.json:
        print(json.dumps(result, indent=1))
    if asked.save:
        RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return int(any(item["subject"].startswith("phronesis") for item in result["failures"]))


if __name__ == "__main__":
    sys.exit(main())
