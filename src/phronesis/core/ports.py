"""The seams: small protocols through which agents, memory, tools and graphs meet."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from phronesis.core.budget import Branch
from phronesis.core.chat import Batch, ChatRequest, LabelProbabilities, Reply
from phronesis.core.concept import Concept, Evidence, Hit
from phronesis.core.result import Candidate, MemoryRecall, MemoryWrite
from phronesis.core.retrieval import Passage
from phronesis.core.reward import RewardRequest, Rewards
from phronesis.core.site import Site
from phronesis.core.task import AnswerFormat, Task
from phronesis.core.tool import ToolCall, ToolResult, ToolSpec
from phronesis.core.verdict import Verdict

Vectors = NDArray[np.float32]
"""Rows of unit length."""
SearchMode = Literal["dense", "lexical", "hybrid"]
"""By vectors, by words, or by the ranks of both."""


class RewardEndpoint(Protocol):
    """One reward model on one server."""

    async def reward(self, request: RewardRequest) -> tuple[Rewards, Batch]:
        """What the model makes of a solution, and what it cost; raises ModelError or SetupError."""
        ...


class Observer(Protocol):
    """Is shown the text of one call at a time, as it comes. Called on the run's event loop."""

    def begin(self) -> bool:
        """Whether this call is to be shown; ``end`` follows if it is."""
        ...

    def restart(self) -> None:
        """An attempt begins: whatever came of an earlier one is void."""
        ...

    def piece(self, text: str, *, thinking: bool) -> None: ...

    def end(self) -> None: ...


class ChatEndpoint(RewardEndpoint, Protocol):
    """One model on one server: what the wrappers of a run stand on. It serves chats or rewards, seldom both."""

    @property
    def model(self) -> str: ...

    async def chunks(self, n: int, request: ChatRequest) -> Sequence[int]:
        """How n samples are cut into requests: a fixed function of n, the request's needs and the endpoint."""
        ...

    async def complete(self, request: ChatRequest, n: int) -> Batch:
        """One HTTP exchange with n choices; raises ModelError or SetupError."""
        ...

    async def complete_streamed(self, request: ChatRequest, observer: Observer) -> Batch:
        """One completion as ``complete`` brings it, shown while it comes. A stream that breaks off is a failed attempt."""
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

    async def tool_calls(self) -> bool:
        """Whether calls of tools come back parsed; found out when first asked. Raises SetupError."""
        ...


class RewardClient(Protocol):
    """What a scorer calls to ask a reward model: an endpoint inside a run, journalled and metered."""

    @property
    def model(self) -> str:
        """The model's name; empty when nobody has named it and its server was not asked yet."""
        ...

    async def reward(self, request: RewardRequest, *, site: Site) -> Rewards:
        """One call. Raises ModelError, BudgetExhausted, or CapabilityMissing where the server serves no such model."""
        ...


class ChatClient(RewardClient, Protocol):
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

    async def tool_calls(self, *, site: Site) -> bool:
        """Whether the endpoint gives calls of tools back parsed; the same in every session of a run. Not charged."""
        ...


class OutcomeScorer(Protocol):
    """Judges a whole attempt."""

    @property
    def name(self) -> str: ...

    def calls_for(self, candidate: Candidate) -> int:
        """The most model calls that scoring this attempt makes."""
        ...

    async def score(self, task: Task, candidate: Candidate, *, site: Site) -> float | None:
        """In [0, 1], higher is better; None where nothing could be found out. Raises ModelError, BudgetExhausted."""
        ...


@runtime_checkable
class Verifier(Protocol):
    """An outcome scorer that gives its reasons too: ``score`` is its verdict's figure."""

    @property
    def name(self) -> str: ...

    async def verify(self, task: Task, candidate: Candidate, *, site: Site) -> Verdict:
        """What cannot be found out is ``unknown``. Raises ModelError, BudgetExhausted."""
        ...


@runtime_checkable
class Advisor(Protocol):
    """A verifier that writes what the next attempt is told, when there is to be one."""

    @property
    def name(self) -> str: ...

    async def advise(self, task: Task, candidate: Candidate, verdict: Verdict, *, site: Site) -> str:
        """Feedback on a rejected attempt. At most ``ScorerCalls.advice`` calls. Raises ModelError, BudgetExhausted."""
        ...


@runtime_checkable
class TaskScorer(Protocol):
    """An outcome scorer that has to get ready for a task, so that all attempts at it are judged alike."""

    @property
    def name(self) -> str: ...

    async def for_task(self, task: Task, *, site: Site) -> OutcomeScorer:
        """What judges the attempts at this task. At most ``ScorerCalls.task`` calls. Raises ModelError, BudgetExhausted."""
        ...


class StepScorer(Protocol):
    """Judges an attempt step by step."""

    @property
    def name(self) -> str: ...

    def calls_for(self, candidate: Candidate) -> int:
        """Model calls that scoring this attempt makes."""
        ...

    async def score(self, task: Task, candidate: Candidate, *, site: Site) -> tuple[float, ...]:
        """One score in [0, 1] per step; higher is better. Raises ModelError, BudgetExhausted."""
        ...


class GroupScorer(Protocol):
    """Judges the attempts at one task together; their answers are texts that are equal when they mean the same."""

    @property
    def name(self) -> str: ...

    def calls_for(self, candidates: Sequence[Candidate]) -> int:
        """The most model calls that scoring them makes."""
        ...

    async def score(self, task: Task, candidates: Sequence[Candidate], *, site: Site) -> tuple[float | None, ...]:
        """One score in [0, 1] per attempt; None where nothing could be found out. Raises ModelError, BudgetExhausted."""
        ...


class AnswerSpace(Protocol):
    """Reads and compares answers of one format; see tools/answers.py."""

    @property
    def format(self) -> AnswerFormat: ...

    def extract(self, text: str, *, cut_off: bool = False) -> str | None:
        """The canonical answer of a reply, or None. A reply that was cut off is read by its marked answer only."""
        ...

    def canonical(self, raw: str) -> str | None:
        """The canonical form of an answer as written, or None."""
        ...

    def equal(self, left: str, right: str) -> bool:
        """Whether two canonical answers mean the same."""
        ...


@dataclass(frozen=True, slots=True)
class ProgramRun:
    """What running a program brought."""

    value: str | None
    """What its ``solution()`` returned, as text; None when it failed."""
    error: str = ""
    """The last lines of the failure, for people and for a repair; empty when it ran."""
    output: str = ""
    """What it printed, shortened."""
    seconds: float = 0.0


class ProgramRunner(Protocol):
    """Runs untrusted programs under limits."""

    async def run(self, program: str, *, site: Site) -> ProgramRun:
        """A program's failure is a value, not an error. Raises ToolError when nothing can be run at all."""
        ...


class DocumentSearch(Protocol):
    """Searches the recipe's documents; each search is journalled and counted."""

    async def search(
        self, queries: Sequence[str], *, k: int, branch: Branch, occurrence: str = "0"
    ) -> tuple[tuple[Passage, ...], ...]:
        """At most k passages of each query, nearest first. No model call. Raises BudgetExhausted, RetrievalError."""
        ...


class ToolCaller(Protocol):
    """Calls the recipe's tools; each call is journalled and counted."""

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        """The tools there are."""
        ...

    async def call(self, call: ToolCall, *, site: Site) -> ToolResult:
        """What the call brought; a tool's failure is a result. No model call. Raises AwaitingAnswer, ToolError."""
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

    def recall(
        self,
        query: str,
        *,
        k: int,
        version: int | None = None,
        mode: SearchMode = "hybrid",
        diversity: float = 0.0,
        candidates: int = 24,
    ) -> list[Hit]:
        """The k concepts that fit the query best among those of the version, best first."""
        ...

    def write(
        self,
        concepts: Sequence[Concept],
        *,
        operation: str,
        recalled: Sequence[str] = (),
        evidence: Evidence | None = None,
        propose: bool = False,
        prompted: Sequence[MemoryRecall] = (),
    ) -> list[MemoryWrite]:
        """Commits concepts once per operation id, or, with ``propose``, leaves them to a person's review; a repeated
        operation returns the recorded outcome. ``prompted``: what stood in the run's prompt; what repeats it is no news."""
        ...

    def named(self, names: Sequence[str], *, version: int | None = None) -> dict[str, Concept]:
        """The valid concepts of these names, by the name as asked for."""
        ...

    def vocabulary(self, *, token_budget: int, version: int | None = None) -> str:
        """The named concepts as a writer is shown them."""
        ...

    def record_use(self, ids: Sequence[str], *, accepted: bool, operation: str) -> None:
        """Counts a recall and whether the run was accepted, once per operation id."""
        ...
