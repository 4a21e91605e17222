"""DeepVerifier: an attempt is verified by a few decisive checks; rejected, it is made again with instructions.

Paper: Inference-Time Scaling of Verification: Self-Evolving Deep Research Agents via Test-Time Rubric-Guided Verification
(arXiv 2601.15808).
Roles: those of the solver strategy; decomposer (summary, suspicions, questions), checker (answers a question without having
seen the attempt), judge (1 to 4), advisor (reflection and at most three instructions).
Cost law (tried calls): that of the loop around the solver (graphs/verification/verified.py): an attempt costs S, a
verification 4 calls and c checks of at most K each, a rejection 1 call of feedback more; every JSON reply may be asked for
once more. Without re-asks at most (R + 1)(S + 4 + cK + 1) - 1 calls for R rounds.
Stopping: the first attempt scored ``accept`` or more (``accepted``), ``rounds`` further attempts (``rounds``), an attempt
that repeats the one before (``repeated``), a limit (``budget:<limit>``), nothing came out (``failed``).
Ties: see the loop; ``fallback = "best_score"`` keeps the highest score, the later of equals.
Differs from the paper: roles are prompted, not trained; 4 rounds where the paper scales to 10, since its best accuracy came
at 3 to 4; the regression guard is on (``fallback = "last"`` is the paper's); the checker may be a program, a search in given
documents or the model alone where there are no tools.
It is what ``[verify] strategy = "deep_verifier"`` puts around any strategy, with a solver of its own.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Literal

from langgraph.graph.state import CompiledStateGraph
from pydantic import Field, ValidationError, field_validator, model_validator

from phronesis.agents.client.profile import Capability
from phronesis.agents.scorers.deep_verifier import Decide
from phronesis.agents.verification.checking import Channel
from phronesis.agents.verification.decomposition import Questions
from phronesis.graphs.cost import CostLaw
from phronesis.graphs.registry import around, find
from phronesis.graphs.strategy import Knobs, Strategy
from phronesis.graphs.verify_section import VerifySection


class DeepVerifierKnobs(Knobs):
    """What can be set."""

    solver: str = "direct"
    """Strategy that makes the attempts; ``react`` where the recipe has tools."""
    solver_knobs: dict[str, Any] = {}
    """Its knobs."""
    rounds: int = Field(default=4, ge=0)
    """R_max, most further attempts. The paper's: 10; its best results: 3 to 4."""
    accept: int = Field(default=3, ge=1, le=4)
    """Lowest score that is accepted. The paper's: 3."""
    max_checks: int = Field(default=3, ge=0, le=8)
    """Most questions per verification. The paper's: 3."""
    whole: int = Field(default=0, ge=0)
    """Longest attempt, in characters, that is taken as it stands instead of summed up; the paper sums up all: 0."""
    questions: Questions = "write"
    """Whether the questions are written, as in the paper, or claims are picked by number (ours, for small models)."""
    checker: Channel = "auto"
    """What answers the questions: agent, search, program, model; auto = the first that the recipe has."""
    steps: int = Field(default=4, ge=1)
    """Most turns of a checking agent for one question."""
    taxonomy: str = "deep_research"
    """Known failures: a shipped taxonomy, or a TOML file."""
    decide: Decide = "score"
    """What an attempt is accepted by: the judge's score (the paper's), its expectation, or the checks alone."""
    parallel: bool = False
    """Whether the questions are answered side by side; the paper does one after another."""
    suggest: bool = True
    """Whether feedback may state an answer that the checks already show; the paper's does. Without, no number that neither
    the task nor the attempt has reaches the next attempt."""
    feedback: bool = True
    """Whether a further attempt is told what the checks say. Without, it is drawn anew, so the solver has to sample."""
    fallback: Literal["best_score", "last"] = "best_score"
    """Whose answer stands when none is accepted; the paper's: last."""
    feedback_window: int = Field(default=1, ge=1)
    """Rejections that a further attempt is told of. The paper's code: 1."""
    reject_twice: bool = False
    """Whether a rejection has to be given twice."""

    @field_validator("solver")
    @classmethod
    def _known(cls, value: str) -> str:
        if value == "deep_verifier":
            raise ValueError("the solver cannot be deep_verifier itself")
        find(value)
        return value

    @model_validator(mode="after")
    def _fitting(self) -> DeepVerifierKnobs:
        try:
            find(self.solver).knobs.model_validate(self.solver_knobs)
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(str(part) for part in first["loc"])
            raise ValueError(f"solver_knobs.{name} of {self.solver!r}: {first['msg']}") from None
        return self

    @property
    def section(self) -> VerifySection:
        """The same as a section ``[verify]``."""
        names = (
            "taxonomy",
            "whole",
            "max_checks",
            "questions",
            "checker",
            "steps",
            "decide",
            "accept",
            "parallel",
            "suggest",
        )
        options = ", ".join(f"{name} = {_toml(getattr(self, name))}" for name in names)
        return VerifySection(
            strategy=f"deep_verifier({options})",
            rounds=self.rounds,
            fallback=self.fallback,
            feedback=self.feedback,
            feedback_window=self.feedback_window,
            reject_twice=self.reject_twice,
        )


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return str(value)


@cache
def _strategy(solver: str, section: VerifySection) -> Strategy[Any]:
    return around(find(solver), section)


def _whole(knobs: DeepVerifierKnobs) -> tuple[Strategy[Any], Knobs]:
    """The solver inside the loop, and the solver's knobs."""
    strategy = _strategy(knobs.solver, knobs.section)
    return strategy, strategy.knobs.model_validate(knobs.solver_knobs)


def build(knobs: DeepVerifierKnobs) -> CompiledStateGraph[Any, Any, Any, Any]:
    """START -> solve (the solver) -> assess (the verifier) -> feedback -> solve ... -> END."""
    strategy, own = _whole(knobs)
    return strategy.build(own)


def cost(knobs: DeepVerifierKnobs) -> CostLaw:
    strategy, own = _whole(knobs)
    return strategy.cost(own)


def supersteps(knobs: DeepVerifierKnobs) -> int:
    strategy, own = _whole(knobs)
    return strategy.supersteps(own)


def needs(knobs: DeepVerifierKnobs) -> dict[str, tuple[Capability, ...]]:
    strategy, own = _whole(knobs)
    return dict(strategy.needs(own))


def scorers(knobs: DeepVerifierKnobs) -> tuple[str, ...]:
    strategy, own = _whole(knobs)
    return strategy.scorers(own)


def _retrieves(knobs: DeepVerifierKnobs) -> bool:
    strategy, own = _whole(knobs)
    return strategy.retrieves(own)


def _uses_tools(knobs: DeepVerifierKnobs) -> bool:
    strategy, own = _whole(knobs)
    return strategy.uses_tools(own)


STRATEGY = Strategy(
    name="deep_verifier",
    summary="attempts are verified by a few decisive checks and, when rejected, made again with instructions",
    paper="DeepVerifier, arXiv 2601.15808",
    knobs=DeepVerifierKnobs,
    build=build,
    cost=cost,
    supersteps=supersteps,
    needs=needs,
    retrieves=_retrieves,
    uses_tools=_uses_tools,
    verifies=True,
    scorers=scorers,
)
