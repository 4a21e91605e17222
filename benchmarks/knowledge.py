"""What a knowledge base costs, the embedding model apart: adding, adding again, opening, searching; plain bm25s and numpy
over the same texts and vectors beside it as the floor (they keep nothing: no file, no positions, no filters).

Texts are made of words that are as frequent as words are (Zipf), vectors are drawn from their hashes. Searches ask for 10.

Example: python benchmarks/knowledge.py --sizes 1000,10000
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from machine import described

from phronesis.core.ports import Vectors
from phronesis.core.retrieval import SearchRequest
from phronesis.core.settings import Settings
from phronesis.index.bm25 import words
from phronesis.tools.knowledge.base import KnowledgeBase, open_searcher
from phronesis.tools.knowledge.search import Searcher, SearchOptions

RESULTS = Path(__file__).parent / "results" / "knowledge.json"
SIZES = (1_000, 10_000)
QUESTIONS, K = 200, 10
VOCABULARY, WORDS = 30_000, 100
Row = dict[str, Any]


class Drawn:
    """Vectors of 384 drawn from the hash of a text: an embedder that costs next to nothing."""

    id = "drawn-384@1"
    dimension = 384

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        seeds = [int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") for text in texts]
        rows = np.stack([np.random.default_rng(seed).standard_normal(384, dtype=np.float32) for seed in seeds])
        unit: Vectors = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        return unit

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        return self.embed_documents(texts)


def made_texts(count: int, length: int, seed: int) -> list[str]:
    """Texts of so many words; a few words are frequent, most are rare."""
    rng = np.random.default_rng(seed)
    chances = 1.0 / np.arange(1, VOCABULARY + 1)
    drawn = rng.choice(VOCABULARY, size=(count, length), p=chances / chances.sum())
    return [" ".join(f"w{number}" for number in row) for row in drawn]


def seconds(act: Callable[[], object]) -> float:
    start = time.perf_counter()
    act()
    return round(time.perf_counter() - start, 3)


def milliseconds(act: Callable[[str], object], questions: Sequence[str]) -> dict[str, float]:
    """Median and 95th percentile of one search."""
    times = sorted(1000 * seconds_exact(act, question) for question in questions)
    return {"p50": round(statistics.median(times), 2), "p95": round(times[int(0.95 * (len(times) - 1))], 2)}


def seconds_exact(act: Callable[[str], object], question: str) -> float:
    start = time.perf_counter()
    act(question)
    return time.perf_counter() - start


def ours(texts: Sequence[str], questions: Sequence[str], scratch: Path) -> list[Row]:
    file = scratch / "texts.jsonl"
    file.write_text("".join(json.dumps({"id": f"p{n}", "text": text}) + "\n" for n, text in enumerate(texts)), "utf-8")
    settings, embedder = Settings(home=scratch), Drawn()
    with KnowledgeBase.open("kb", settings=settings, embedder=embedder) as base:
        common = {
            "add_s": seconds(lambda: base.add(file)),
            "again_s": seconds(lambda: base.add(file)),
            "disk_mb": 0.0,
        }
    common["disk_mb"] = round(sum(part.stat().st_size for part in (scratch / "kb" / "kb").iterdir()) / 1e6, 1)
    rows = []
    for mode in ("lexical", "dense", "hybrid"):
        options = SearchOptions(mode=mode)  # type: ignore[arg-type]  # one of its three
        start = time.perf_counter()
        searcher = open_searcher("kb", options, settings, embedder)
        searcher.search([SearchRequest(query=questions[0], k=K)])
        opened = round(time.perf_counter() - start, 3)
        search = milliseconds(partial(_search, searcher), questions)
        searcher.close()
        rows.append({"subject": f"phronesis kb, {mode}", "open_s": opened, "search_ms": search, **common})
    return rows


def _search(searcher: Searcher, text: str) -> object:
    return searcher.search([SearchRequest(query=text, k=K)])


def floor(texts: Sequence[str], questions: Sequence[str]) -> list[Row]:
    import bm25s

    tokens = [words(text) for text in texts]
    index = bm25s.BM25(method="lucene", k1=1.2, b=0.75)
    built = seconds(lambda: index.index(tokens, show_progress=False))
    embedder = Drawn()
    vectors = embedder.embed_documents(texts)

    def lexical(text: str) -> object:
        scores = index.get_scores([word for word in words(text) if word in index.vocab_dict])
        return np.argpartition(-scores, K)[:K]

    def dense(text: str) -> object:
        scores = vectors @ embedder.embed_queries([text])[0]
        return np.argpartition(-scores, K)[:K]

    return [
        {"subject": "bm25s, in memory", "open_s": built, "search_ms": milliseconds(lexical, questions)},
        {"subject": "numpy product, in memory", "search_ms": milliseconds(dense, questions)},
    ]


def shown(row: Row) -> str:
    """One line for the terminal."""
    search = row["search_ms"]
    line = f"  {row['subject']:<26} search {search['p50']:7.2f} ms (p95 {search['p95']:.2f})"
    for name, said in (("open_s", "open"), ("add_s", "add"), ("again_s", "again")):
        line += f"  {said} {row[name]:.2f} s" if name in row else ""
    return line


def main(argv: Sequence[str] | None = None) -> int:
    """0 = measured; 2 = wrong usage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=lambda text: [int(part) for part in text.split(",")], default=list(SIZES))
    parser.add_argument("--quick", action="store_true", help="20 questions instead of 200")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--save", action="store_true", help=f"write {RESULTS.parent.name}/{RESULTS.name}")
    asked = parser.parse_args(argv)
    if min(asked.sizes) <= K:
        parser.error(f"--sizes: more than {K} chunks each")
    result: Row = {**described("phronesis", "bm25s", "numpy"), "quick": asked.quick, "rows": []}
    questions = made_texts(20 if asked.quick else QUESTIONS, 12, seed=1)
    for count in asked.sizes:
        print(f"{count:,} chunks", file=sys.stderr, flush=True)
        texts = made_texts(count, WORDS, seed=0)
        with tempfile.TemporaryDirectory() as folder:
            for row in [*ours(texts, questions, Path(folder)), *floor(texts, questions)]:
                result["rows"].append({"chunks": count, **row})
                print(shown(row), file=sys.stderr, flush=True)
    result["load_after"] = round(os.getloadavg()[0], 2)
    if asked.json:
        print(json.dumps(result, indent=1))
    if asked.save:
        RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
