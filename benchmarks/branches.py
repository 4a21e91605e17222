"""Whether branches really run side by side: wall clock of SPARC-RAG against its critical path.

A run of D rounds and W branches makes D (1 + 3 W) + (D - 1) calls, of which 5 D - 1 wait for one another. At one second a
reply the wall clock should be that many seconds, whatever W is. The fake server answers; documents and searches are real.

Example: python benchmarks/branches.py --latency 1 --widths 1,2,4,8 --depth 2
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import re
import tempfile
import time
from pathlib import Path

BAR = 1.1
"""Wall clock over critical path."""


def reply(request: object, index: int) -> object:
    """Each role's turn; the verifier never stops."""
    from phronesis.testing import FakeReply, FakeRequest

    assert isinstance(request, FakeRequest)
    user = request.user
    if "You plan searches" in user:
        width = int((re.findall(r"Write (\d+) search", user) or ["1"])[0])
        done = user.partition("Searched already:")[2].count("- marker")
        return json.dumps({"missing": "all", "queries": [f"marker{done + number}" for number in range(width)]})
    if "Below are numbered sentences" in user:
        return json.dumps({"keep": [int(number) for number in re.findall(r"^\[(\d+)\]", user, re.MULTILINE)]})
    if "Notes were gathered" in user:
        return json.dumps({"keep": [int(number) for number in re.findall(r"^\[(\d+)\]", user, re.MULTILINE)]})
    if "Check an answer" in user:
        return FakeReply("CONTINUE", top={" STOP": math.log(0.1), " CONTINUE": math.log(0.9)})
    return "It is said in [1]. \\boxed{says}"


def measure(latency: float, widths: list[int], depth: int) -> list[dict[str, float]]:
    """One row a width."""
    import phronesis
    from phronesis.core.http import close_pools
    from phronesis.graphs.recipe import Recipe
    from phronesis.testing import FakeServer

    home = Path(os.environ["PHRONESIS_HOME"])
    file = home / "documents.jsonl"
    file.parent.mkdir(parents=True, exist_ok=True)
    rows = [{"id": f"p{number}", "text": f"marker{number} says value{number}."} for number in range(200)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with phronesis.KnowledgeBase.open("markers") as base:
        base.add(file)

    async def run(recipe: Recipe) -> phronesis.Result:
        try:
            return await recipe.arun("Which value does the last marker say?")
        finally:
            await close_pools()

    found = []
    for width in widths:
        with FakeServer(reply, latency=latency) as server:  # type: ignore[arg-type]  # typed loosely for a lazy import
            overrides = {
                "retrieval.kb": "markers",
                "knobs.width": width,
                "knobs.depth": depth,
                "knobs.k": 1,
                "models.default.base_url": server.url,
            }
            recipe = Recipe.load("sparc_rag", overrides=overrides)
            asyncio.run(run(recipe))  # probes the server and loads what is loaded once
            calls = server.calls
            begun = time.perf_counter()
            result = asyncio.run(run(recipe))
            seconds = time.perf_counter() - begun
            critical = result.depth * latency
            found.append(
                {
                    "width": width,
                    "calls": server.calls - calls,
                    "law": depth * (1 + 3 * width) + (depth - 1 if width > 1 else 0),
                    "depth": result.depth,
                    "seconds": round(seconds, 3),
                    "critical": critical,
                    "ratio": round(seconds / critical, 3),
                }
            )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--latency", type=float, default=1.0, help="seconds of each reply")
    parser.add_argument("--widths", default="1,2,4,8")
    parser.add_argument("--depth", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="phronesis-branches-") as folder:
        os.environ |= {"PHRONESIS_HOME": folder, "PHRONESIS_EMBEDDER": "hash"}
        rows = measure(options.latency, [int(part) for part in options.widths.split(",")], options.depth)
    if options.json:
        print(json.dumps(rows))
        return
    print(f"{'W':>3} {'calls':>6} {'law':>5} {'depth':>6} {'seconds':>8} {'critical':>9} {'ratio':>6}  (bar {BAR})")
    for row in rows:
        print(
            f"{row['width']:>3} {row['calls']:>6} {row['law']:>5} {row['depth']:>6} {row['seconds']:>8.2f} "
            f"{row['critical']:>9.2f} {row['ratio']:>6.3f}"
        )


if __name__ == "__main__":
    main()
