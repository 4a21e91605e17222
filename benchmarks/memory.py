"""What the concept memory costs, embedding apart: adding, searching, the Chroma index against exact search, opening, disk and
memory size; a plain Chroma collection with the same vectors beside it.

Every subject works in a process of its own, on concepts whose vectors lie in clusters (made_concepts.py). An add
is one durable transaction with one concept. Searches ask for 10.

Example: python benchmarks/memory.py --sizes 1000,10000
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from driving import DRIVERS, environment
from machine import PATH, described
from made_concepts import TEXTS_PER_TOPIC, load, save

RESULTS = Path(__file__).parent / "results" / "memory.json"
SIZES = (1_000, 10_000, 100_000)
QUESTIONS, FURTHER = 200, 200
K = 10
SAME = 1e-6
"""Cosines closer than this count as a tie."""
SUBJECTS = {
    "exact": "phronesis, exact search",
    "index": "phronesis, Chroma index",
    "plain": "chromadb collection",
}
Row = dict[str, Any]


class Failed(Exception):
    """A subject that could not be measured, with the reason."""


def say(text: str) -> None:
    """Progress, on standard error."""
    print(text, file=sys.stderr, flush=True)


def ask(job: Row, scratch: Path) -> Row:
    """The figures of one job, done by a process of its own."""
    done = subprocess.run(
        [sys.executable, str(DRIVERS / "concepts.py"), json.dumps(job)],
        capture_output=True,
        text=True,
        timeout=3600,
        env=environment(scratch),
        check=False,
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"it ended with {done.returncode}, without a word"]
        raise Failed(PATH.sub("...", lines[-1]))
    figures: Row = json.loads(done.stdout.splitlines()[-1])
    return figures


def share_found(material: Path, found: Sequence[Sequence[int]], count: int) -> float:
    """recall@10: of the 10 nearest, how many were found; a tie with the tenth counts as it."""
    _, vectors = load(material, "concepts")
    _, questions = load(material, "questions")
    hits = 0
    for question, numbers in zip(questions, found, strict=False):
        scores = vectors[:count] @ question
        least = np.sort(scores)[-K] - SAME
        hits += sum(bool(scores[number] >= least) for number in numbers)
    return round(hits / (K * len(found)), 4)


def measure(subject: str, count: int, material: Path, scratch: Path, *, questions: int) -> Row:
    """One row."""
    folder = scratch / f"{subject}-{count}"
    job = {"subject": subject, "count": count, "folder": str(folder), "material": str(material), "questions": questions}
    filled = ask({**job, "job": "fill"}, scratch)
    work = ask({**job, "job": "work"}, scratch)
    again = ask({**job, "job": "reopen"}, scratch)
    found = work.pop("found")
    shutil.rmtree(folder)
    return {
        "subject": SUBJECTS[subject],
        "ours": subject != "plain",
        "peer": "chromadb" if subject == "plain" else None,
        "concepts": count,
        "recall_at_10": share_found(material, found, count),
        **filled,
        **work,
        **again,
    }


def shown(row: Row) -> str:
    """One line for the terminal."""
    search, add = row["search_ms"], row["add_ms"]
    return (
        f"  {row['subject']:<26} search {search['p50']:7.2f} ms (p95 {search['p95']:.2f})"
        f"  recall@10 {row['recall_at_10']:.4f}  add {add['p50']:6.2f} ms (p95 {add['p95']:.2f})"
        f"  {row['disk_mb']:.0f} MB on disk  {row['rss_mb']} MB"
    )


def _sizes(text: str) -> list[int]:
    sizes = [int(part) for part in text.split(",")]
    if any(size < K for size in sizes):
        raise ValueError
    return sizes


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = ",".join(map(str, SIZES))
    parser.add_argument("--sizes", type=_sizes, default=list(SIZES), help=f"numbers of concepts, {K} or more; {known}")
    parser.add_argument(
        "--quick", action="store_true", help="20 questions and adds instead of 200; the figures are rough"
    )
    parser.add_argument("--no-peers", action="store_true", help="ours only")
    parser.add_argument("--only", default="", help="comma-separated words; subjects whose name contains one")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--save", action="store_true", help=f"write {RESULTS.parent.name}/{RESULTS.name}")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """0 = measured; 1 = something of ours could not be; 2 = wrong usage."""
    asked = _arguments(argv)
    words = [word for word in asked.only.split(",") if word]
    wanted = [
        name
        for name, said in SUBJECTS.items()
        if (not words or any(word in said for word in words)) and not (asked.no_peers and name == "plain")
    ]
    if not wanted:
        print(f"--only {asked.only!r} names no subject: {', '.join(SUBJECTS.values())}", file=sys.stderr)
        return 2
    questions, further = (20, 20) if asked.quick else (QUESTIONS, FURTHER)
    result: dict[str, Any] = {**described("phronesis", "chromadb", "numpy"), "quick": asked.quick}
    result |= {"rows": [], "failures": []}
    for count in asked.sizes:
        with tempfile.TemporaryDirectory() as folder:
            scratch = Path(folder)
            topics = max(10, count // TEXTS_PER_TOPIC)
            say(f"{count:,} concepts in {topics:,} topics")
            for seed, (name, number) in enumerate(
                {"concepts": count, "questions": questions, "further": further}.items()
            ):
                save(scratch, name, number, topics=topics, seed=seed)
            for subject in wanted:
                try:
                    row = measure(subject, count, scratch, scratch, questions=questions)
                except Failed as error:
                    say(f"  {SUBJECTS[subject]}: {error}")
                    failure = {"subject": SUBJECTS[subject], "setting": f"{count:,} concepts", "reason": str(error)}
                    result["failures"].append(failure)
                else:
                    say(shown(row))
                    result["rows"].append(row)
    result["load_after"] = round(os.getloadavg()[0], 2)
    if asked.json:
        print(json.dumps(result, indent=1))
    if asked.save:
        RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return int(any(item["subject"].startswith("phronesis") for item in result["failures"]))


if __name__ == "__main__":
    sys.exit(main())
