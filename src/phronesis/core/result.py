"""What a run returns. ``Result.model_dump_json()`` is the ``--json`` output."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

CandidateStatus = Literal["ok", "unparsable", "failed"]
StopReason = str
"""``finished``, ``easy``, ``rounds``, ``budget:<limit>``, ``failed`` ... each strategy's page lists its own."""


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Failure(_Value):
    """A call, tool or store operation that failed and what it was for."""

    where: str
    """Path in the run, then the role."""
    error: str
    """Name of the error type (core/errors.py)."""
    message: str
    """What happened."""
    mend: str | None = None
    """How to mend it, where that is known."""


class Candidate(_Value):
    """One attempt at a task."""

    id: str
    """``c0``; a refined one names its round: ``c0.r1``."""
    text: str = ""
    """The whole attempt, prefill included."""
    answer: str | None = None
    """Canonical answer; None when it could not be read or the call failed."""
    status: CandidateStatus = "ok"
    """``unparsable`` attempts are kept, scored and counted, and have no vote."""
    steps: tuple[str, ...] = ()
    """The attempt cut into steps."""
    mean_logprob: float | None = None
    """Mean natural-log probability of the generated tokens."""
    answer_logprob: float | None = None
    """Mean natural-log probability of the tokens the marked answer is written with; None without logprobs or mark."""
    kind: Literal["chain", "program"] = "chain"
    """``program``: the answer is what running the text gave."""
    tokens: int = 0
    """Generated tokens."""
    cut_off: bool = False
    """The reply ran into max_tokens."""
    outcome: float | None = None
    """Outcome score in (0, 1)."""
    step_scores: tuple[float, ...] = ()
    """One score in [0, 1] per step."""
    reward: float | None = None
    """What the strategy ranks and weighs by."""
    scores: dict[str, float | None] = {}
    """Figures of other scorers, by the scorer as it was written; None where one could not tell."""
    parents: tuple[str, ...] = ()
    """Candidates it was made from."""
    round: int = 0
    """0 = sampled; n = made by the n-th refinement."""
    notes: str = ""
    """What a reviewer said of its parent."""
    error: Failure | None = None
    """Set when, and only when, status is ``failed``."""


class RoleUsage(_Value):
    """What one role spent."""

    calls: int = 0
    requests: int = 0
    failed_calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0


class ToolUsage(_Value):
    """What one tool was used for."""

    calls: int = 0
    """Asked for, refused ones included."""
    units: int = 0
    failed: int = 0
    refused: int = 0


class UsageReport(RoleUsage):
    """What a task spent."""

    seconds: float = 0.0
    """Active time, over all sessions of a resumed run."""
    by_role: dict[str, RoleUsage] = {}
    tools: dict[str, ToolUsage] = {}
    """By tool; ``search`` counts the queries of the strategy's own searches too."""


class FoundPassage(_Value):
    """A passage that a search brought, and where it stands."""

    id: str
    title: str = ""
    source: str = ""
    """The document."""
    start: int = 0
    """First character in the document."""
    end: int = 0
    """Character behind the last one; 0 = the source has no positions."""
    score: float = 0.0
    """Of the first search that found it."""
    cited: bool = False
    """Whether the answer names it as its ground."""


class RetrievalReport(_Value):
    """What was searched and found."""

    retriever: str
    fingerprint: str = ""
    """Of the documents as they were searched."""
    queries: tuple[str, ...] = ()
    passages: tuple[FoundPassage, ...] = ()
    """Each once, in the order of the searches."""


class MemoryRecall(_Value):
    """A concept that was in the prompt, or why it was not."""

    id: str
    score: float
    rendered: bool
    """Whether it stood in the prompt."""
    text: str = ""
    """The suggestion."""
    situation: str = ""
    trust: str = ""
    """The mark it was shown with: given, proven, trial or imported."""
    reason: str = ""
    """Why it was found and not shown: ``no room``, ``not selected``, ``below least similarity``, ``diversity``."""


class MemoryWrite(_Value):
    """What became of one concept the run wanted to write, or of the wish to write at all."""

    outcome: Literal["written", "updated", "duplicate", "evidence", "proposed", "refused", "failed"]
    """``updated``: the concept of that name says more than before; ``duplicate`` and ``evidence``: it was known;
    ``proposed``: it waits for a person, see ``phronesis memory review``."""
    reason: str
    id: str | None = None
    """The concept's id, where there is one."""
    name: str = ""
    """Of a parameterised concept."""
    suggestion: str = ""
    situation: str = ""


class MemoryReport(_Value):
    """What the memory did in this run."""

    session: str
    mode: Literal["off", "read", "frozen", "write"]
    version: int = 0
    """Ledger version that was read."""
    skipped: str = ""
    """Why nothing was looked for; empty = it was."""
    recalled: tuple[MemoryRecall, ...] = ()
    written: tuple[MemoryWrite, ...] = ()


class Result(_Value):
    """Answer and account of one task."""

    task_id: str
    status: Literal["ok", "failed"]
    """``failed``: no candidate came out; ``answer`` is None and ``failures`` say why."""
    answer: str | None
    """None when the run failed or no attempt could be read."""
    answer_text: str = ""
    """The attempt the answer is taken from."""
    candidates: tuple[Candidate, ...] = ()
    usage: UsageReport = UsageReport()
    depth: int = 0
    """Critical path in calls."""
    stop_reason: StopReason = "finished"
    unparsable: int = 0
    """Candidates whose answer could not be read."""
    degraded: tuple[str, ...] = ()
    """What worked less well than asked for, for example ``recall is lexical: no embedder``."""
    failures: tuple[Failure, ...] = ()
    memory: MemoryReport | None = None
    retrieval: RetrievalReport | None = None
    """None = the recipe has no documents to search."""
    decisions: tuple[dict[str, Any], ...] = ()
    """Gate and vote decisions with their inputs, in order."""
    recipe: str = ""
    strategy: str = ""
    run_id: str = ""
    journal: str = ""
    """Path of the run's journal."""
    replayed_from: str = ""
    """The run whose recorded replies made this one; empty = a run of its own. ``usage`` is what it would have cost."""

    def comparable(self) -> dict[str, Any]:
        """The result without times and paths: equal for equal runs, resumed and replayed ones included."""
        data = self.model_dump(mode="json", exclude={"journal", "run_id", "replayed_from"})
        data["usage"].pop("seconds")
        return data
