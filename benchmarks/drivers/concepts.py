"""One subject of memory.py in a process of its own: does what its job says and prints the figures as JSON.

Jobs: ``fill`` makes the store of all concepts, ``work`` opens it, searches and adds, ``reopen`` opens it once more.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np
from made_concepts import LookedUp, concept, load

from phronesis.core.settings import Settings

K = 10
BATCH = 500
Figures = dict[str, Any]


class Store(Protocol):
    """What is measured."""

    def fill(self, texts: Sequence[str], vectors: Any, start: int) -> None: ...

    def search(self, number: int) -> list[int]:
        """Numbers of the K concepts nearest to a question."""
        ...

    def figures(self, questions: int) -> Figures:
        """What this subject alone can be asked."""
        ...

    def close(self) -> None: ...


class Ours:
    """A memory: ``exact`` as without chromadb, ``index`` through the Chroma index."""

    def __init__(self, folder: Path, material: Path, *, index: bool) -> None:
        if not index:
            sys.modules["chromadb"] = None  # type: ignore[assignment]  # as if it were not installed
        from phronesis.memory.session import Memory

        self._embedder = LookedUp()
        self._questions, vectors = load(material, "questions")
        self._embedder.learn(self._questions, vectors)
        self._memory = Memory.open("bench", settings=Settings(home=folder), embedder=self._embedder)
        self._index = index

    def ready(self) -> None:
        if self._index and (state := self._memory.reindex()) != "ready":
            raise RuntimeError(f"the index is not used: {state}")

    def fill(self, texts: Sequence[str], vectors: Any, start: int) -> None:
        made = [concept(start + place, text) for place, text in enumerate(texts)]
        self._embedder.learn([item.situation for item in made], np.asarray(vectors))
        self._memory.add(made)

    def search(self, number: int) -> list[int]:
        return [int(hit.id[1:]) - 1 for hit in self._memory.search(self._questions[number], k=K)]

    def figures(self, questions: int) -> Figures:
        def learn(number: int) -> None:
            text = f"learned {number} {self._questions[number]}"
            self._memory.write([concept(number, text)], operation=f"write {number}")

        def recall(number: int) -> None:
            self._memory.recall(self._questions[number], k=K)

        return {"hybrid_ms": timed(recall, questions), "write_ms": timed(learn, min(100, questions))}

    def close(self) -> None:
        self._memory.close()


class Plain:
    """A Chroma collection in a folder, as its documentation shows it."""

    def __init__(self, folder: Path, material: Path) -> None:
        import chromadb
        from chromadb.config import Settings as ChromaSettings

        # chromadb's types are skipped by mypy, hence Any.
        self._client: Any = chromadb.PersistentClient(str(folder), settings=ChromaSettings(anonymized_telemetry=False))
        self._collection: Any = self._client.get_or_create_collection(
            "bench", embedding_function=None, configuration={"hnsw": {"space": "cosine"}}
        )
        self._questions, self._vectors = load(material, "questions")

    def ready(self) -> None:
        """Nothing to do."""

    def fill(self, texts: Sequence[str], vectors: Any, start: int) -> None:
        made = [concept(start + place, text) for place, text in enumerate(texts)]
        self._collection.add(
            ids=[str(start + place) for place in range(len(texts))],
            embeddings=np.asarray(vectors),
            documents=[item.situation for item in made],
            metadatas=[{"suggestion": item.suggestion} for item in made],
        )

    def search(self, number: int) -> list[int]:
        found = self._collection.query(query_embeddings=np.asarray(self._vectors[number : number + 1]), n_results=K)
        return [int(name) for name in found["ids"][0]]

    def figures(self, questions: int) -> Figures:
        return {}

    def close(self) -> None:
        self._client.close()


def timed(call: Callable[[int], object], count: int) -> dict[str, float]:
    """p50 and p95 of single calls, in milliseconds."""
    taken = []
    for number in range(count):
        start = time.perf_counter()
        call(number)
        taken.append(1000 * (time.perf_counter() - start))
    return {"p50": round(float(np.percentile(taken, 50)), 3), "p95": round(float(np.percentile(taken, 95)), 3)}


def memory_mb() -> int:
    """What the process holds in memory by itself; files it maps do not count."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("RssAnon:"):
            return round(int(line.split()[1]) / 1024)
    return 0


def bytes_of(folder: Path) -> float:
    """Megabytes of all files."""
    return round(sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 2**20, 2)


def opened(job: Figures) -> Any:
    folder, material = Path(job["folder"]), Path(job["material"])
    if job["subject"] == "plain":
        return Plain(folder, material)
    return Ours(folder, material, index=job["subject"] == "index")


def fill(job: Figures) -> Figures:
    store = opened(job)
    texts, vectors = load(Path(job["material"]), "concepts")
    start = time.perf_counter()
    for place in range(0, job["count"], BATCH):
        until = min(place + BATCH, job["count"])
        store.fill(texts[place:until], vectors[place:until], place)
    taken = time.perf_counter() - start
    store.close()
    return {"batch_ms": round(1000 * taken / job["count"], 3)}


def work(job: Figures) -> Figures:
    """Searches, then adds; a build of the index comes first where there is one."""
    found: Figures = {}
    if job["subject"] == "index":
        for path in Path(job["folder"]).glob("memory/bench/index*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    store = opened(job)
    if job["subject"] == "index":
        start = time.perf_counter()
        store.ready()
        found["build_s"] = round(time.perf_counter() - start, 2)
    for number in range(min(10, job["questions"])):
        store.search(number)
    found["found"] = [store.search(number) for number in range(job["questions"])]
    found["search_ms"] = timed(lambda number: store.search(number % job["questions"]), job["questions"])
    found["rss_mb"] = memory_mb()
    found["disk_mb"] = bytes_of(Path(job["folder"]))
    texts, vectors = load(Path(job["material"]), "further")

    def add(number: int) -> None:
        store.fill(texts[number : number + 1], vectors[number : number + 1], job["count"] + number)

    found["add_ms"] = timed(add, len(texts))
    found |= store.figures(job["questions"])
    store.close()
    return found


def reopen(job: Figures) -> Figures:
    """From nothing to the first answer, the import of the library apart."""
    # chromadb takes a second to import, which a program pays once and not for each store.
    if job["subject"] != "exact":
        import chromadb  # noqa: F401
    import phronesis.memory.session  # noqa: F401

    start = time.perf_counter()
    store = opened(job)
    store.ready()
    store.search(0)
    taken = time.perf_counter() - start
    store.close()
    return {"open_s": round(taken, 3)}


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    print(json.dumps({"fill": fill, "work": work, "reopen": reopen}[asked["job"]](asked)))
