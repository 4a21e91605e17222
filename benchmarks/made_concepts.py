"""Concepts whose vectors lie in clusters, made from a seed: no model takes part, and none was compared with.

A text is a dozen words, most of its topic's own and a few that all texts share. Its vector is the mean of its words' vectors
(each word has a random direction) beside the directions of topic and domain, so vectors lie in clusters inside clusters and
texts with the same words lie closest. Questions are further texts of the same kind. The clusters lie far apart, so recall
is easy here: it tells a broken index from a whole one, not a good setting from a better one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from phronesis.core.concept import Concept
from phronesis.core.ports import Vectors

DIMENSION = 384
DOMAIN_WEIGHT, TOPIC_WEIGHT, WORDS_WEIGHT = 0.5, 0.7, 1.0
DOMAINS = 12
TEXTS_PER_TOPIC = 100
TOPIC_WORDS, SHARED_WORDS = 40, 2000
LENGTH = 12
_BATCH = 2000


def _unit(rows: Vectors) -> Vectors:
    return np.ascontiguousarray(rows / np.linalg.norm(rows, axis=-1, keepdims=True), dtype=np.float32)


def made(count: int, *, topics: int, seed: int) -> tuple[list[str], Vectors]:
    """Texts and their unit vectors. ``topics`` fixes what is spoken of: equal numbers give texts of the same topics."""
    world = np.random.default_rng([topics, 1])
    words = _unit(world.standard_normal((topics * TOPIC_WORDS + SHARED_WORDS, DIMENSION)).astype(np.float32))
    domains = _unit(world.standard_normal((DOMAINS, DIMENSION)).astype(np.float32))
    centres = _unit(world.standard_normal((topics, DIMENSION)).astype(np.float32))
    rng = np.random.default_rng([topics, seed])
    topic = rng.integers(topics, size=count)
    own = topic[:, None] * TOPIC_WORDS + rng.zipf(1.6, size=(count, LENGTH)) % TOPIC_WORDS
    shared = topics * TOPIC_WORDS + rng.zipf(1.3, size=(count, LENGTH)) % SHARED_WORDS
    chosen = np.where(rng.random((count, LENGTH)) < 0.7, own, shared)
    parts = []
    for start in range(0, count, _BATCH):
        here = slice(start, start + _BATCH)
        said = _unit(words[chosen[here]].mean(axis=1))
        parts.append(
            WORDS_WEIGHT * said + TOPIC_WEIGHT * centres[topic[here]] + DOMAIN_WEIGHT * domains[topic[here] % DOMAINS]
        )
    texts = [" ".join(f"w{word}" for word in row) for row in chosen.tolist()]
    return texts, _unit(np.concatenate(parts))


def save(folder: Path, name: str, count: int, *, topics: int, seed: int) -> None:
    """Writes texts and vectors where ``load`` finds them."""
    texts, vectors = made(count, topics=topics, seed=seed)
    (folder / f"{name}.json").write_text(json.dumps(texts), encoding="utf-8")
    np.save(folder / f"{name}.npy", vectors)


def load(folder: Path, name: str) -> tuple[list[str], Vectors]:
    """Texts and vectors; the vectors stay on disk."""
    texts: list[str] = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    return texts, np.load(folder / f"{name}.npy", mmap_mode="r")


def concept(number: int, text: str) -> Concept:
    """The concept of that number: two sentences, found by the text."""
    return Concept(
        situation=f"{number} {text}", suggestion=f"write down what is known, then do step {number} for {text}"
    )


class LookedUp:
    """An embedder that knows its texts, so that embedding costs nothing. A text it does not know gets a direction of its
    own."""

    id = "made-384@1"
    dimension = DIMENSION

    def __init__(self) -> None:
        self._known: dict[str, Vectors] = {}

    def learn(self, texts: Sequence[str], vectors: Vectors) -> None:
        self._known.update(zip(texts, vectors, strict=True))

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        return np.stack([self._of(text) for text in texts])

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        return self.embed_documents(texts)

    def _of(self, text: str) -> Vectors:
        known = self._known.get(text)
        if known is not None:
            return known
        digest = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
        return _unit(np.random.default_rng(digest).standard_normal(DIMENSION).astype(np.float32))
