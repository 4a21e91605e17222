"""The Chroma index: a rebuildable proposer of candidates over a ledger's vectors. This file and chroma_server.py are the
only ones that import chromadb.

An entry is a ledger vector; its id is the vector's number in the ledger (seq), and vectors never change, so an entry is
never updated. The caller holds the index lease: two processes on one Chroma folder lose rows without an error.

A torn HNSW file does not make Chroma fail, it makes the process die (a file cut short: segmentation fault, measured with
1.5.9). So a folder is sealed when it is closed, with checksums of those files, and one without a fitting seal (a kill, a
power cut, damage) is never opened: it is made again from the ledger.
"""

from __future__ import annotations

import json
import shutil
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from phronesis.core.errors import IndexDamaged
from phronesis.core.ports import Vectors
from phronesis.index.fingerprint import Fingerprint

HNSW = {"space": "cosine", "ef_construction": 200, "max_neighbors": 32, "ef_search": 200}
"""Chosen for recall; Chroma's defaults found 7 of 10 neighbours in 5,000 random vectors."""
LARGE_QUERY = 1000
"""Rows the health check asks for at once; an index that lost its graph returns fewer."""
_SEAL = "sealed.json"
SELF_DISTANCE = 1e-3
"""Largest cosine distance of a stored vector to itself."""
T = TypeVar("T")


def installed() -> bool:
    """Whether chromadb can be imported; does not import it."""
    return find_spec("chromadb") is not None


class CollectionIndex:
    """One collection of one fingerprint, wherever Chroma keeps it. Safe in threads; every failure is IndexDamaged."""

    def __init__(self, client: Any, name: str, fingerprint: Fingerprint) -> None:
        """Opens or makes the collection. chromadb's types are skipped by mypy, hence Any."""
        self._client = client
        self._fingerprint = fingerprint
        self._collection: Any = self._do(
            lambda: client.get_or_create_collection(
                name, embedding_function=None, metadata=self._metadata(0), configuration={"hnsw": HNSW}
            )
        )
        self._check_identity()
        self._watermark = int(dict(self._collection.metadata).get("watermark", 0))

    def _do(self, call: Callable[[], T]) -> T:
        """What a call of Chroma returns; whatever it throws is IndexDamaged."""
        with translated():
            return call()

    def _metadata(self, watermark: int) -> dict[str, str | int]:
        return {"fingerprint": self._fingerprint.key, "embedder": self._fingerprint.short, "watermark": watermark}

    def _check_identity(self) -> None:
        found = dict(self._collection.metadata or {}).get("fingerprint")
        if found != self._fingerprint.key:
            raise IndexDamaged(f"the index carries fingerprint {found!r}, not {self._fingerprint.key!r}")
        space = dict(self._collection.configuration_json.get("hnsw") or {})
        wrong = {name: space.get(name) for name, value in HNSW.items() if space.get(name) != value}
        if wrong:
            raise IndexDamaged(f"the index was made with other settings: {wrong}")

    @property
    def watermark(self) -> int:
        """Highest seq up to which everything is indexed; rows past it may be there too (a kill between two steps)."""
        return self._watermark

    @property
    def count(self) -> int:
        return self._do(lambda: int(self._collection.count()))

    def upsert(self, seqs: Sequence[int], vectors: Vectors) -> None:
        """Adds vectors in rising order of seq, then moves the watermark to the last. Repeating it changes nothing."""
        size = self._do(lambda: int(self._client.get_max_batch_size()))
        for start in range(0, len(seqs), size):
            ids, rows = [str(seq) for seq in seqs[start : start + size]], vectors[start : start + size]
            self._do(partial(self._collection.upsert, ids=ids, embeddings=rows))
        if seqs:
            self._mark(int(seqs[-1]))

    def _mark(self, watermark: int) -> None:
        self._do(lambda: self._collection.modify(metadata=self._metadata(watermark)))
        self._watermark = watermark

    def candidates(self, query: Vectors, n: int) -> list[int]:
        """seqs of about the n nearest vectors (or all there are), unordered: the ledger's vectors are to score them."""
        return [int(name) for name, _ in self._near(query, n)]

    def _near(self, query: Vectors, n: int) -> list[tuple[str, float]]:
        return self._do(lambda: self._query(query, n))

    def _query(self, query: Vectors, n: int) -> list[tuple[str, float]]:
        """(id, cosine distance) of about the n nearest rows."""
        found = self._collection.query(query_embeddings=query[np.newaxis], n_results=n, include=["distances"])
        return list(zip(found["ids"][0], found["distances"][0], strict=True))

    def check(self, *, expected: int, seqs: Sequence[int], vectors: Vectors) -> None:
        """Raises IndexDamaged unless it holds at least ``expected`` rows, finds each sampled vector by itself, and a
        large query returns as many rows as it asks for. Counting alone proves nothing: a count outlives a lost graph."""
        count = self.count
        if count < expected:
            raise IndexDamaged(f"the index holds {count} of {expected} vectors")
        if not count:
            return
        wanted = min(count, LARGE_QUERY)
        probe = vectors[0] if len(vectors) else np.eye(1, self._fingerprint.dimension, dtype=np.float32)[0]
        found = len(self._near(probe, wanted))
        # HNSW may miss a row of a full sweep (1 of 600 measured); a lost graph misses most.
        if found < 0.99 * wanted:
            raise IndexDamaged(f"a query for {wanted} vectors returned {found}")
        for seq, vector in zip(seqs, vectors, strict=True):
            near = self._near(vector, min(10, count))
            if not any(name == str(seq) or distance <= SELF_DISTANCE for name, distance in near):
                raise IndexDamaged(f"vector {seq} does not find itself")

    def refresh(self) -> None:
        """Takes over the watermark that others moved; nothing to do where one process alone writes."""

    def close(self) -> None:
        """Frees it for good use by the next."""
        self.abandon()

    def abandon(self) -> None:
        """Frees it without a promise that it is whole."""
        self._do(self._client.close)


class ChromaIndex(CollectionIndex):
    """One collection in one folder of this machine."""

    def __init__(self, folder: Path, fingerprint: Fingerprint, generation: int) -> None:
        """Opens or makes the collection of one generation; takes about a second for the import."""
        self._path = _path(folder, generation)
        with translated():
            import chromadb
            from chromadb.config import Settings

            self._path.mkdir(parents=True, exist_ok=True)
            client: Any = chromadb.PersistentClient(str(self._path), settings=Settings(anonymized_telemetry=False))
        try:
            super().__init__(client, f"concepts-{fingerprint.key}", fingerprint)
        except BaseException:
            client.close()
            raise

    @classmethod
    def open(cls, folder: Path, fingerprint: Fingerprint) -> ChromaIndex:
        """The newest generation under ``folder``, or an empty first one. Raises IndexDamaged when its seal does not fit."""
        newest = max(_generations(folder), default=0)
        if newest:
            _break_seal(_path(folder, newest))
        return cls(folder, fingerprint, newest or 1)

    @classmethod
    def create(cls, folder: Path, fingerprint: Fingerprint) -> ChromaIndex:
        """An empty new generation; the older ones are deleted. The first step of a rebuild.

        A new folder, because Chroma may still have files of the old one open."""
        newest = max(_generations(folder), default=0)
        made = cls(folder, fingerprint, newest + 1)
        for generation in range(1, newest + 1):
            shutil.rmtree(_path(folder, generation), ignore_errors=True)
        return made

    def close(self) -> None:
        """Closes and seals it; without the seal (``abandon``) it will not be opened again."""
        self.abandon()
        _seal(self._path)


def seal_problem(folder: Path) -> str | None:
    """Why the newest generation under ``folder`` would not be opened; None = it would, or there is none. Opens nothing."""
    newest = max(_generations(folder), default=0)
    return _broken_seal(_path(folder, newest)) if newest else None


def _path(folder: Path, generation: int) -> Path:
    return folder / f"g{generation:06d}"


def _checksums(path: Path) -> dict[str, int]:
    """CRC-32 of each HNSW file. Chroma's SQLite file is left out: SQLite reports its own damage."""
    found = {}
    for file in sorted(path.rglob("*.bin")):
        checksum = 0
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                checksum = zlib.crc32(block, checksum)
        found[file.relative_to(path).as_posix()] = checksum
    return found


def _seal(path: Path) -> None:
    (path / _SEAL).write_text(json.dumps(_checksums(path)), encoding="utf-8")


def _break_seal(path: Path) -> None:
    """Takes a seal that fits away, so that only the next close brings it back."""
    problem = _broken_seal(path)
    (path / _SEAL).unlink(missing_ok=True)
    if problem is not None:
        raise IndexDamaged(problem)


def _broken_seal(path: Path) -> str | None:
    try:
        written = json.loads((path / _SEAL).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return f"{str(path)!r} was not closed properly"
    return None if written == _checksums(path) else f"files in {str(path)!r} changed since it was closed"


def _generations(folder: Path) -> list[int]:
    if not folder.is_dir():
        return []
    return sorted(int(path.name[1:]) for path in folder.glob("g*") if path.name[1:].isdigit())


@contextmanager
def translated() -> Iterator[None]:
    """Turns whatever Chroma throws, panics of its Rust part included (they are no Exception), into IndexDamaged."""
    try:
        yield
    except (IndexDamaged, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:
        raise IndexDamaged(f"Chroma failed: {type(error).__name__}: {error}") from error
