"""Fingerprint: what makes vectors comparable. A store keeps the one its vectors were made with and refuses strangers."""

from __future__ import annotations

import hashlib

import numpy as np
from pydantic import BaseModel, ConfigDict

from phronesis.core.errors import EmbedderMismatch
from phronesis.core.ports import Embedder

PROBE = "When two rates act together, add the rates and not the times."
"""Fixed text whose vectors tell apart models that call themselves the same."""
PROBE_COSINE = 0.999
"""Least cosine of two probes of one model; other machines and thread counts change the last digits only."""
PROBE_STEPS = 1000
"""Probe vectors are kept as whole thousandths."""


class Fingerprint(BaseModel):
    """Of one embedder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    """Name of the model."""
    revision: str
    """Hash or number of its files; empty when the embedder does not tell."""
    dimension: int
    normalised: bool
    """Whether the embedder itself returned unit vectors."""
    prompts: tuple[str, ...]
    """What the model puts before queries and documents."""
    document_probe: tuple[int, ...]
    """Vector of the probe text as a document, in thousandths."""
    query_probe: tuple[int, ...]
    """The same as a query."""

    @classmethod
    def of(cls, embedder: Embedder) -> Fingerprint:
        """Embeds the probe text: loads the model."""
        name, _, revision = embedder.id.partition("@")
        rows = np.vstack([embedder.embed_documents([PROBE]), embedder.embed_queries([PROBE])])
        steps = np.rint(rows * PROBE_STEPS).astype(int).tolist()
        return cls(
            id=name,
            revision=revision,
            dimension=embedder.dimension,
            normalised=bool(np.allclose(np.linalg.norm(rows, axis=1), 1.0, atol=1e-3)),
            prompts=tuple(getattr(embedder, "prompts", ())),
            document_probe=tuple(steps[0]),
            query_probe=tuple(steps[1]),
        )

    @property
    def key(self) -> str:
        """16 hex digits over all fields. Made once, when the store is given its embedder; later probes may round apart."""
        return hashlib.blake2b(self.model_dump_json().encode(), digest_size=8).hexdigest()

    @property
    def short(self) -> str:
        """``all-minilm-l6-v2@1f0c... (384, probe 9a3b...)``."""
        name = f"{self.id}@{self.revision}" if self.revision else self.id
        return f"{name} ({self.dimension}, probe {self.key[:6]})"

    def named_by(self, embedder_id: str) -> bool:
        """Whether an embedder's id alone allows it: the same revision, or the same name where there is none."""
        name, _, revision = embedder_id.partition("@")
        return revision == self.revision if revision and self.revision else name == self.id

    def matches(self, other: Fingerprint) -> bool:
        """Whether vectors of both may be compared: same dimension and prompts, and probes that point the same way.

        The name does not count, so a model may move to another folder."""
        return (
            (self.dimension, self.normalised, self.prompts) == (other.dimension, other.normalised, other.prompts)
            and _cosine(self.document_probe, other.document_probe) >= PROBE_COSINE
            and _cosine(self.query_probe, other.query_probe) >= PROBE_COSINE
        )

    def refuse(self, stranger: str, *, where: str, change: str = "") -> EmbedderMismatch:
        """The error that names both embedders and the mend; ``change``: the command that makes new vectors."""
        return EmbedderMismatch(
            f"{where} holds vectors of {self.short}, the embedder here is {stranger}",
            mend=f"set PHRONESIS_EMBEDDER to {self.id} (or its folder), or to none for lexical recall"
            + (f"; or change the embedder: {change}" if change else ""),
            expected=self.short,
            found=stranger,
        )


def _cosine(left: tuple[int, ...], right: tuple[int, ...]) -> float:
    one, two = np.array(left, dtype=float), np.array(right, dtype=float)
    return float(one @ two / max(float(np.linalg.norm(one) * np.linalg.norm(two)), 1e-9))
