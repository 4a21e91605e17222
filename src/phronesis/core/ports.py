"""The seams: small protocols through which agents, memory, tools and graphs meet."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from phronesis.core.chat import Batch, ChatRequest, LabelProbabilities, Reply
from phronesis.core.concept import Concept, Hit
from phronesis.core.result import Candidate, MemoryWrite
from phronesis.core.site import Site
from phronesis.core.task import Task

Vectors = NDArray[np.float32]
"""Rows of unit length."""


class ChatEndpoint(Protocol):
    """One model on one server: what the wrappers of a run stand on."""

    @property
    def model(self) -> str: ...

    async def chunks(self, n: int, request: ChatRequest) -> Sequence[int]:
        """How n samples are cut into requests: a fixed function of n, the request's needs and the endpoint."""
        ...

    async def complete(self, request: ChatRequest, n: int) -> Batch:
        """One HTTP exchange with n choices; raises ModelError or SetupError."""
        ...

    async def label_probabilities(
        self, request: ChatRequest, labels: Sequence[str]
    ) -> tuple[LabelProbabilities, Batch]:
        """Probability of each label as the next text after the request's prefill, and what finding out cost."""
        ...

    def stream(self, request: ChatRequest) -> AsyncIterator[str]:
        """The reply piece by piece."""
        ...

    async def tokens(self, text: str) -> int:
        """Length in tokens; an estimate where the server cannot tell."""
        ...


class ChatClient(Protocol):
    """What an agent calls: an endpoint inside a run, journalled and metered."""

    async def sample(self, request: ChatRequest, n: int, *, site: Site) -> tuple[Reply, ...]:
        """n replies in index order, failures as values. Raises BudgetExhausted before anything is sent."""
        ...

    async def label_probabilities(
        self, request: ChatRequest, labels: Sequence[str], *, site: Site
    ) -> LabelProbabilities:
        """One call. Raises ModelError or BudgetExhausted."""
        ...

    async def tokens(self, text: str) -> int: ...


class OutcomeScorer(Protocol):
    """Judges a whole attempt."""

    @property
    def name(self) -> str: ...

    @property
    def calls(self) -> int:
        """Model calls per attempt."""
        ...

    async def score(self, task: Task, candidate: Candidate, *, site: Site) -> float:
        """In (0, 1); higher is better."""
        ...


class StepScorer(Protocol):
    """Judges an attempt step by step."""

    @property
    def name(self) -> str: ...

    @property
    def calls(self) -> int:
        """Model calls per attempt."""
        ...

    async def score(self, task: Task, candidate: Candidate, *, site: Site) -> tuple[float, ...]:
        """One score in [0, 1] per step; higher is better."""
        ...


class Embedder(Protocol):
    """Text to unit vectors."""

    @property
    def id(self) -> str:
        """Model and revision."""
        ...

    @property
    def dimension(self) -> int: ...

    def embed_documents(self, texts: Sequence[str]) -> Vectors: ...

    def embed_queries(self, texts: Sequence[str]) -> Vectors: ...


class ConceptMemory(Protocol):
    """What a run does with a memory. ``Memory`` in memory/session.py is the implementation."""

    def version(self) -> int:
        """The ledger's version now."""
        ...

    def recall(self, query: str, *, k: int, version: int | None = None) -> list[Hit]:
        """The k concepts nearest to the query among those of the version, best first."""
        ...

    def write(self, concepts: Sequence[Concept], *, operation: str, recalled: Sequence[str] = ()) -> list[MemoryWrite]:
        """Commits concepts once per operation id; a repeated operation returns the recorded outcome."""
        ...

    def record_use(self, ids: Sequence[str], *, accepted: bool, operation: str) -> None:
        """Counts a recall and whether the run was accepted, once per operation id."""
        ...
