"""What starting costs: time and peak memory of our imports and commands, beside our peers' imports, in one run.

Each target is a new interpreter. Times are wall clock, the start of a bare interpreter subtracted; memory is the peak of the
process; packages are the third-party modules that were loaded. Targets take turns within each repetition.

Example: python benchmarks/imports.py --quick --no-peers
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from driving import environment
from machine import PATH, described
from peer_environments import DEFAULT_HOME, PINS, PeerMissing, interpreter

from phronesis.graphs.registry import names

RESULTS = Path(__file__).parent / "results" / "imports.json"
FACTS = """
import json, sys
def peak():
    for line in open("/proc/self/status"):
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return None
loaded = {name.partition(".")[0] for name, module in list(sys.modules.items())
          if "site-packages" in (getattr(module, "__file__", None) or "")}
print("\\n" + json.dumps({"peak_mb": peak(), "packages": sorted(name for name in loaded if not name.startswith("_"))}))
"""
COMMAND = """
import contextlib, io, sys
sys.argv = ["phronesis", *{arguments!r}]
from phronesis.cli.main import main
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    main()
"""


@dataclass(frozen=True)
class Target:
    """Something to start."""

    name: str
    code: str
    peer: str | None = None
    ours: bool = True


def targets() -> list[Target]:
    """Ours, each strategy's import, and the peers'."""
    ours = [
        Target("import phronesis", "import phronesis"),
        Target("phronesis --help", COMMAND.format(arguments=["--help"])),
        Target("phronesis recipes list", COMMAND.format(arguments=["recipes", "list"])),
        Target("import phronesis.testing", "import phronesis.testing"),
    ]
    ours += [
        Target(f"strategy {name}", f"from phronesis.graphs.registry import find; find({name!r})") for name in names()
    ]
    return [
        *ours,
        Target("import langgraph.graph", "import langgraph.graph", ours=False),
        *(Target(f"import {name}", f"import {name}", peer=name, ours=False) for name in PINS),
    ]


def _run(python: Path, code: str, scratch: Path) -> str:
    done = subprocess.run(
        [str(python), "-c", code], capture_output=True, text=True, timeout=120, cwd=scratch, env=environment(scratch)
    )
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or ["it failed without a word"])[-1])
    return done.stdout


def _seconds(python: Path, code: str, scratch: Path) -> float:
    start = time.perf_counter()
    _run(python, code, scratch)
    return time.perf_counter() - start


def measure(wanted: Sequence[Target], home: Path, *, repetitions: int, peers: bool) -> dict[str, Any]:
    """Rows of the targets that could be started, and why the others could not."""
    rows: list[dict[str, Any]] = []
    failures: list[dict[str, str]] = []
    ready: list[tuple[Target, Path]] = []
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        facts = {}
        for target in wanted:
            if target.peer is not None and not peers:
                continue
            try:
                python = Path(sys.executable) if target.peer is None else interpreter(target.peer, home)
                _run(python, target.code, scratch)
                facts[target.name] = json.loads(_run(python, target.code + FACTS, scratch).splitlines()[-1])
                ready.append((target, python))
            except (PeerMissing, RuntimeError, subprocess.SubprocessError) as error:
                failures.append({"target": target.name, "reason": PATH.sub("...", str(error))})
        taken: dict[str, list[float]] = {target.name: [] for target, _ in ready}
        bare: dict[Path, list[float]] = {python: [] for _, python in ready}
        for _ in range(repetitions):
            for python, times in bare.items():
                times.append(_seconds(python, "pass", scratch))
            for target, python in ready:
                taken[target.name].append(_seconds(python, target.code, scratch))
        for target, python in ready:
            start = median(bare[python])
            times = [max(0.0, item - start) for item in taken[target.name]]
            packages = [name for name in facts[target.name]["packages"] if name != target.peer]
            rows.append(
                {
                    "target": target.name,
                    "ours": target.ours,
                    "seconds": {
                        "median": round(median(times), 3),
                        "low": round(min(times), 3),
                        "high": round(max(times), 3),
                    },
                    "peak_mb": round(facts[target.name]["peak_mb"] or 0),
                    "packages": packages,
                }
            )
    return {"rows": rows, "failures": failures}


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="three repetitions instead of nine")
    parser.add_argument("--no-peers", action="store_true", help="ours and langgraph only; nothing is installed")
    parser.add_argument("--peers-home", type=Path, default=DEFAULT_HOME, help="folder of the peers' environments")
    parser.add_argument("--only", default="", help="comma-separated words; targets whose name contains one")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--save", action="store_true", help=f"write {RESULTS.parent.name}/{RESULTS.name}")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """0 = measured; 1 = something of ours could not be started; 2 = wrong usage."""
    asked = _arguments(argv)
    words = [word for word in asked.only.split(",") if word]
    wanted = [item for item in targets() if not words or any(word in item.name for word in words)]
    if not wanted:
        print(f"nothing is named by --only {asked.only!r}", file=sys.stderr)
        return 2
    repetitions = 3 if asked.quick else 9
    result = {
        **described("phronesis", "langgraph", "pydantic"),
        "quick": asked.quick,
        "peers": {} if asked.no_peers else {name: list(pins) for name, pins in PINS.items()},
        "repetitions": repetitions,
        **measure(wanted, asked.peers_home, repetitions=repetitions, peers=not asked.no_peers),
    }
    for row in result["rows"]:
        seconds = row["seconds"]
        print(
            f"{row['target']:<30}{seconds['median']:7.3f} s ({seconds['low']:.3f} - {seconds['high']:.3f})"
            f"{row['peak_mb']:6d} MB  {len(row['packages'])} packages",
            file=sys.stderr,
        )
    for item in result["failures"]:
        print(f"{item['target']}: {item['reason']}", file=sys.stderr)
    if asked.json:
        print(json.dumps(result, indent=1))
    if asked.save:
        RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    ours = {target.name for target in wanted if target.ours}
    return int(any(item["target"] in ours for item in result["failures"]))


if __name__ == "__main__":
    sys.exit(main())
