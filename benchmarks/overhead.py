"""What a model call costs beyond the model: ours and our peers', side by side against one mock in one run.

Every subject runs in a process of its own and makes the same calls; a peer has a virtual environment of its own, at a
pinned version. Subjects take turns within each repetition, so that what else the machine does meets all of them. CPU time is
that of the subject's whole process; the mock's is not in it. Read the ratios against the floor: times differ between
machines.

Example: python benchmarks/overhead.py --quick --no-peers
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from driving import DriverFailed, Drivers
from fake_model import Served
from machine import PATH, described
from peer_environments import DEFAULT_HOME, PINS, PeerMissing, interpreter
from subjects import FLOOR, Setting, Subject, settings

RESULTS = Path(__file__).parent / "results" / "overhead.json"
Row = dict[str, Any]


def say(text: str) -> None:
    """Progress, on standard error."""
    print(text, file=sys.stderr, flush=True)


def spread(values: Sequence[float], digits: int = 3) -> dict[str, float]:
    """Median, lowest and highest."""
    return {
        "median": round(median(values), digits),
        "low": round(min(values), digits),
        "high": round(max(values), digits),
    }


def summary(setting: Setting, subject: Subject, taken: Sequence[Row], floor: Sequence[Row]) -> Row:
    """One row: CPU per call, its ratio to the floor of the same repetition, wall clock per round, what the mock saw."""
    rounds = min(setting.calls, subject.most_calls) / setting.in_flight
    cpu = [1000 * item["cpu"] / item["calls"] for item in taken]
    bare = [1000 * item["cpu"] / item["calls"] for item in floor]
    row: Row = {
        "figure": setting.figure,
        "reply": setting.reply,
        "in_flight": setting.in_flight,
        "latency_ms": setting.latency,
        "subject": subject.name,
        "ours": subject.ours,
        "peer": subject.peer,
        "repetitions": len(taken),
        "calls": max(item["calls"] for item in taken),
        "requests": max(item["requests"] for item in taken),
        "peak": max(item["peak"] for item in taken),
        "connections": max(item["connections"] for item in taken),
        "cpu_ms": spread(cpu),
        "wall_ms": spread([1000 * item["wall"] / rounds for item in taken], 1),
    }
    if bare:
        row["over_floor"] = round(median(mine / its for mine, its in zip(cpu, bare, strict=False)), 2)
    return row


def measure(
    setting: Setting, subjects: Sequence[Subject], drivers: Drivers, host: str
) -> tuple[list[Row], list[dict[str, str]]]:
    """Rows of the subjects that could be measured, and why the others could not."""
    taken: dict[str, list[Row]] = {subject.name: [] for subject in subjects}
    failed: dict[str, str] = {}
    for repetition in range(setting.repetitions):
        for subject in subjects:
            if subject.name in failed or repetition >= subject.most_repetitions:
                continue
            job = {
                "host": host,
                "path": f"/{setting.latency}/{setting.reply}/{subject.most}",
                "calls": min(setting.calls, subject.most_calls),
                "in_flight": setting.in_flight,
                "logprobs": setting.reply == "logprobs",
                "options": dict(subject.options(setting.in_flight)),
            }
            try:
                taken[subject.name].append(drivers.of(subject.script, subject.peer).ask(job, timeout=120))
            except (DriverFailed, PeerMissing) as error:
                failed[subject.name] = PATH.sub("...", str(error))
                say(f"  {subject.name}: {error}")
    rows = [
        summary(setting, subject, taken[subject.name], taken.get(FLOOR, []))
        for subject in subjects
        if subject.name not in failed
    ]
    return rows, [{"setting": setting.name, "subject": name, "reason": reason} for name, reason in failed.items()]


def shown(row: Row) -> str:
    """One line for the terminal."""
    cpu, wall, ratio = row["cpu_ms"], row["wall_ms"], row.get("over_floor")
    beside = "" if ratio is None else f"{ratio:6.1f} x"
    return (
        f"  {row['subject']:<50}{cpu['median']:8.3f} ms CPU ({cpu['low']:.3f} - {cpu['high']:.3f}){beside}"
        f"{wall['median']:10.1f} ms wall  peak {row['peak']}"
    )


def _wanted(setting: Setting, only: Sequence[str], peers: Sequence[str]) -> list[Subject]:
    here = [subject for subject in setting.subjects if subject.peer is None or subject.peer in peers]
    if not only or any(word in setting.name for word in only):
        return here
    return [subject for subject in here if subject.name == FLOOR or any(word in subject.name for word in only)]


def _peers(wanted: bool, home: Path) -> tuple[list[str], dict[str, str]]:
    """Peers that can be run here, and why the others cannot."""
    ready, missing = [], {}
    for name in PINS if wanted else ():
        try:
            interpreter(name, home, say=say)
            ready.append(name)
        except PeerMissing as error:
            missing[name] = PATH.sub("...", str(error))
            say(f"{name} cannot be measured: {error}")
    return ready, missing


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer calls and repetitions; the figures are rough")
    parser.add_argument("--no-peers", action="store_true", help="ours and the floor only; nothing is installed")
    parser.add_argument("--peers-home", type=Path, default=DEFAULT_HOME, help="folder of the peers' environments")
    parser.add_argument("--only", default="", help="comma-separated words; settings or subjects that contain one")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--save", action="store_true", help=f"write {RESULTS.parent.name}/{RESULTS.name}")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """0 = measured; 1 = something of ours could not be; 2 = wrong usage."""
    asked = _arguments(argv)
    only = [word for word in asked.only.split(",") if word]
    if not any(len(_wanted(setting, only, list(PINS))) > 1 for setting in settings(quick=asked.quick)):
        print(f"--only {asked.only!r} names no subject and no setting", file=sys.stderr)
        return 2
    ready, missing = _peers(not asked.no_peers, asked.peers_home)
    result: dict[str, Any] = {
        **described("phronesis", "langgraph", "aiohttp", "orjson"),
        "quick": asked.quick,
        "peers": {name: list(PINS[name]) for name in ready},
        "missing": missing,
        "rows": [],
        "failures": [],
    }
    with (
        tempfile.TemporaryDirectory() as scratch,
        Served() as host,
        Drivers(asked.peers_home, Path(scratch)) as drivers,
    ):
        for setting in settings(quick=asked.quick):
            subjects = _wanted(setting, only, ready)
            if len(subjects) < 2:
                continue
            say(f"{setting.name}, {setting.calls} calls at {setting.latency} ms, {setting.repetitions} times")
            rows, failures = measure(setting, subjects, drivers, host)
            result["rows"] += rows
            result["failures"] += failures
            for row in rows:
                say(shown(row))
    result["load_after"] = round(os.getloadavg()[0], 2)
    if asked.json:
        print(json.dumps(result, indent=1))
    if asked.save:
        kept = result if not only else _merged(result)
        RESULTS.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    return int(any(item["subject"].startswith(("phronesis", FLOOR)) for item in result["failures"]))


def _merged(result: dict[str, Any]) -> dict[str, Any]:
    """The saved result with the rows that were measured again in the place of the old ones."""
    saved: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8"))
    for kind in ("rows", "failures"):
        again = {_place(row) for row in result["rows"]}
        saved[kind] = [row for row in saved[kind] if _place(row) not in again] + result[kind]
    return saved


def _place(row: dict[str, Any]) -> tuple[object, ...]:
    return tuple(row.get(name) for name in ("figure", "reply", "in_flight", "subject"))


if __name__ == "__main__":
    sys.exit(main())
