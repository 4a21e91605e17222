"""The Chroma index by itself: watermark, health check, seal, strangers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from phronesis.core.errors import IndexDamaged
from phronesis.core.ports import Vectors
from phronesis.index.chroma import ChromaIndex
from phronesis.index.embedders import HashEmbedder
from phronesis.index.fingerprint import Fingerprint
from phronesis.index.lease import Lease

FINGERPRINT = Fingerprint.of(HashEmbedder())
SEQS = list(range(3, 303))


@pytest.fixture(scope="module")
def vectors() -> Vectors:
    return HashEmbedder().embed_documents([f"text number {n} of {n % 7}" for n in SEQS])


def test_an_index_keeps_its_rows_and_watermark(tmp_path: Path, vectors: Vectors) -> None:
    index = ChromaIndex.open(tmp_path, FINGERPRINT)
    assert (index.watermark, index.candidates(vectors[0], 5)) == (0, [])
    index.upsert(SEQS, vectors)
    index.upsert(SEQS[-10:], vectors[-10:])
    assert (index.watermark, index.count) == (302, 300)
    index.close()
    index = ChromaIndex.open(tmp_path, FINGERPRINT)
    assert (index.watermark, index.count) == (302, 300)
    assert 50 in index.candidates(vectors[SEQS.index(50)], 4)
    found = set(index.candidates(vectors[0], 1000))
    assert found <= set(SEQS) and len(found) >= len(SEQS) - 1, "HNSW may leave one of a few hundred out of reach"
    index.check(expected=300, seqs=SEQS[::20], vectors=vectors[::20])
    with pytest.raises(IndexDamaged, match="300 of 301"):
        index.check(expected=301, seqs=[], vectors=vectors[:0])
    with pytest.raises(IndexDamaged, match="vector 9 does not find itself"):
        index.check(expected=300, seqs=[9], vectors=-vectors[:1])
    index.close()


def test_an_unsealed_or_changed_folder_is_not_opened(tmp_path: Path, vectors: Vectors) -> None:
    index = ChromaIndex.open(tmp_path, FINGERPRINT)
    index.upsert(SEQS, vectors)
    index.abandon()
    with pytest.raises(IndexDamaged, match="not closed properly"):
        ChromaIndex.open(tmp_path, FINGERPRINT)
    index = ChromaIndex.create(tmp_path, FINGERPRINT)
    assert (index.watermark, index.count) == (0, 0)
    assert len(list(tmp_path.glob("g*"))) == 1
    index.upsert(SEQS, vectors)
    index.close()
    for path in tmp_path.rglob("link_lists.bin"):
        path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(IndexDamaged, match="changed since"):
        ChromaIndex.open(tmp_path, FINGERPRINT)


def test_another_fingerprint_has_rows_of_its_own(tmp_path: Path, vectors: Vectors) -> None:
    index = ChromaIndex.open(tmp_path, FINGERPRINT)
    index.upsert(SEQS, vectors)
    index.close()
    other = FINGERPRINT.model_copy(update={"revision": "2"})
    index = ChromaIndex.open(tmp_path, other)
    assert (index.watermark, index.count) == (0, 0)
    index.close()


def test_what_chroma_throws_is_index_damaged(tmp_path: Path, vectors: Vectors) -> None:
    index = ChromaIndex.open(tmp_path, FINGERPRINT)
    index.upsert(SEQS, vectors)
    with pytest.raises(IndexDamaged, match="Chroma failed"):
        index.upsert([400], np.ones((1, 3), dtype=np.float32))
    assert index.watermark == 302
    index.close()


def test_one_lease_at_a_time(tmp_path: Path) -> None:
    lease = Lease.take(tmp_path / "lock")
    assert lease is not None
    assert Lease.take(tmp_path / "lock") is None
    lease.release()
    lease.release()
    again = Lease.take(tmp_path / "lock")
    assert again is not None
    again.release()
