"""The recipe's section ``[memory]``: which concept memory is read and written, and how."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from phronesis.agents.scorers.table import choose_scorer
from phronesis.core.ports import SearchMode


class MemorySection(BaseModel):
    """Which concept memory is read and written."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    session: str = "default"
    """Name of the memory that lives across runs."""
    mounts: tuple[str, ...] = ()
    """Names of other memories that are recalled from as well, and never written to."""
    mode: Literal["off", "read", "frozen", "write"] = "off"
    """``read``: recall; ``frozen``: recall one pinned version, write nothing; ``write``: recall and learn."""
    k: int = Field(default=3, ge=1)
    """Concepts recalled at the most."""
    token_budget: int = Field(default=300, ge=0)
    """Longest memory section of the prompt, in tokens."""
    least_similarity: float = Field(default=0.35, ge=-1, le=1)
    """Concepts less similar than this are not shown (cosine of the nearest view, whichever search found it; recall that is
    lexical for want of an embedder ignores it, and so does the reasoning-based selection)."""
    search: SearchMode = "hybrid"
    """How concepts are looked for: by vectors, by words, or by the ranks of both."""
    candidates: int = Field(default=24, ge=1)
    """Concepts among which those shown are chosen."""
    diversity: float = Field(default=0.0, ge=0, le=1)
    """0 shows the best ones; towards 1, ones that are unlike each other."""
    select: Literal["none", "ids", "reasoning"] = "none"
    """Whether a model picks from what was found: not; from the candidates; or, thinking first, from the whole memory."""
    select_tokens: int = Field(default=2000, ge=1)
    """Longest list of concepts that the selecting model is shown; beyond it the best ones are."""
    concept_tokens: int = Field(default=120, ge=1)
    """Longest single concept in the prompt."""
    describe: bool = False
    """Whether a model describes the question first, and its description is looked for beside it."""
    skip_easy: int = Field(default=0, ge=0)
    """n of 2 or more: when n attempts without the memory all agree, the memory is left out. 0 = it never is."""
    consensus: float = Field(default=0.6, ge=0, le=1)
    """Share of attempts that must agree before anything is learned."""
    verifier: str = "arithmetic"
    """Scorer, with its options, that must find the chosen attempt good as well; ``phronesis scorers list`` names them."""
    least_score: float = Field(default=0.5, ge=0, le=1)
    """Lowest figure of the verifier for the chosen attempt from which something is learned."""
    form: Literal["open", "parameterised"] = "open"
    """What is written: situation and suggestion, or ArcMemo's typed, named structures and routines."""
    lessons: int = Field(default=1, ge=1, le=3)
    """Most lessons of one task in the form ``open``."""
    vocabulary_tokens: int = Field(default=800, ge=0)
    """Longest list of known concepts that the form ``parameterised`` may use by name."""
    contrast: bool = False
    """Whether lessons are drawn from the accepted attempt beside the best one with another answer, where there is one."""
    failures: bool = False
    """Whether an answer that the verifier refutes teaches a pitfall; the verifier must be a test."""
    batch: int = Field(default=1, ge=1)
    """Tasks of a data set in mode ``write`` that read one version, side by side, and write at the batch's end, in order."""
    review: bool = False
    """Whether what is learned waits for ``phronesis memory review`` instead of being written."""

    @field_validator("verifier")
    @classmethod
    def _known(cls, value: str) -> str:
        choose_scorer(value)
        return value

    @field_validator("contrast")
    @classmethod
    def _open(cls, value: bool, info: ValidationInfo) -> bool:
        if value and info.data.get("form") == "parameterised":
            raise ValueError("a contrast is written as situation and suggestion: use form = 'open'")
        return value

    @field_validator("failures")
    @classmethod
    def _tested(cls, value: bool, info: ValidationInfo) -> bool:
        if value and "verifier" in info.data and not choose_scorer(info.data["verifier"]).test:
            raise ValueError("a failure is real only where a test shows it: use verifier = 'execution(programs=4)'")
        return value

    @field_validator("mounts")
    @classmethod
    def _others(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if len(set(value)) < len(value):
            raise ValueError("a memory is mounted twice")
        if info.data.get("session") in value:
            raise ValueError("a memory cannot be mounted in itself")
        return value

    @field_validator("skip_easy")
    @classmethod
    def _can_agree(cls, value: int) -> int:
        if value == 1:
            raise ValueError("one attempt always agrees with itself: use 0, or 2 or more")
        return value
