"""Scorers by the names that recipes and commands use, with what each asks of a server and what it costs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from pydantic import BaseModel, ConfigDict

from phronesis.agents.client.profile import Capability
from phronesis.core.chat import Sampling
from phronesis.core.errors import RecipeError
from phronesis.core.named import NamedSpec
from phronesis.core.plugins import installed, load_named
from phronesis.core.ports import (
    AnswerSpace,
    ChatClient,
    DocumentSearch,
    GroupScorer,
    OutcomeScorer,
    ProgramRunner,
    StepScorer,
    ToolCaller,
)

ScorerKind = Literal["outcome", "step", "group"]
"""Judges an attempt, its steps, or all attempts of a task together."""


class ScorerOptions(BaseModel):
    """Base of a scorer's options: frozen, unknown names refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True, kw_only=True)
class ScorerContext:
    """What a scorer may use."""

    client: Callable[[str], ChatClient]
    """The chat client of a role."""
    sampling: Callable[[str, Sampling], Sampling]
    """A role's default sampling with the recipe's settings on top."""
    answers: AnswerSpace
    programs: ProgramRunner
    search: DocumentSearch | None = None
    """The recipe's documents; None = it has none."""
    tools: ToolCaller | None = None
    """The recipe's tools; None = it has none."""
    note: Callable[[str, Mapping[str, Any]], None] = lambda key, data: None
    """Journals what a scorer found out beside its figure, under a key of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScorerCalls:
    """The cost law of a scorer, in model calls."""

    attempt: int = 0
    """Per scored attempt, always."""
    more: int = 0
    """The most beyond ``attempt`` that an attempt can need: checks, replies asked for again."""
    chain: int = 0
    """The most calls of one attempt that wait for one another; 0 = they do not."""
    step: int = 0
    """Per step of an attempt, one after another."""
    most_steps: int = 0
    """Calls per attempt that ``step`` can come to."""
    task: int = 0
    """The most for all attempts of a task together."""
    task_depth: int = 0
    """The most of those that wait for one another."""
    prepares: bool = False
    """Whether the calls of the task come before those of its attempts."""
    advice: int = 0
    """The most for feedback on a rejected attempt, one after another."""

    @property
    def depth(self) -> int:
        """The most calls that wait for one another, steps apart."""
        one = self.chain or min(1, self.attempt + self.more)
        return self.task_depth + one if self.prepares else max(one, self.task_depth)

    @property
    def most(self) -> int:
        """The most calls for one attempt, those per task apart."""
        return self.attempt + self.more + self.step * self.most_steps

    @property
    def free(self) -> bool:
        return not (self.attempt or self.more or self.step or self.task)


@dataclass(frozen=True, kw_only=True)
class ScorerEntry:
    """One scorer of the table."""

    name: str
    kind: ScorerKind
    summary: str
    """One line for ``scorers list``."""
    build: Callable[[ScorerContext, Any], Any]
    """The scorer, from its surroundings and its options."""
    options: type[ScorerOptions] = ScorerOptions
    calls: Callable[[Any], ScorerCalls] = lambda options: ScorerCalls()
    roles: Callable[[Any], Mapping[str, tuple[Capability, ...]]] = lambda options: {}
    """Role -> what its endpoint must offer."""
    logprobs: Callable[[Any], bool] = lambda options: False
    """Whether attempts must come with log-probabilities."""
    files: Callable[[Any], tuple[str, ...]] = lambda options: ()
    """Files of the user's that decide its figures; a run pins them."""
    reads: Callable[[Any], object] = lambda options: None
    """Reads what its options name (a rubric, a taxonomy), so that a wrong name is told before a run begins. Raises
    RecipeError."""
    tools: Callable[[Any], bool] = lambda options: False
    """Whether it may call the recipe's tools."""
    accept: Callable[[Any], float] = lambda options: 0.5
    """Lowest figure with which an attempt counts as accepted."""
    test: bool = False
    """Whether it runs something (programs, tests) instead of giving an opinion: it may accept or refute a single attempt."""


SHIPPED = {
    "self_certainty": "phronesis.agents.scorers.entries:SELF_CERTAINTY",
    "answer_certainty": "phronesis.agents.scorers.entries:ANSWER_CERTAINTY",
    "arithmetic": "phronesis.agents.scorers.entries:ARITHMETIC",
    "judge": "phronesis.agents.scorers.entries:JUDGE",
    "step_judge": "phronesis.agents.scorers.step_judge:ENTRY",
    "generative": "phronesis.agents.scorers.generative:ENTRY",
    "backward": "phronesis.agents.scorers.backward:ENTRY",
    "execution": "phronesis.agents.scorers.execution:ENTRY",
    "pairwise": "phronesis.agents.scorers.pairwise:ENTRY",
    "jury": "phronesis.agents.scorers.jury:ENTRY",
    "debate": "phronesis.agents.scorers.debate:ENTRY",
    "spct_judge": "phronesis.agents.scorers.spct:ENTRY",
    "reward_model": "phronesis.agents.scorers.reward_model:ENTRY",
    "process_reward": "phronesis.agents.scorers.process_reward:ENTRY",
    "rubric": "phronesis.agents.scorers.rubric:RUBRIC",
    "generated_rubric": "phronesis.agents.scorers.rubric:GENERATED_RUBRIC",
    "deep_verifier": "phronesis.agents.scorers.deep_verifier:ENTRY",
    "signals": "phronesis.agents.scorers.signals:ENTRY",
    "combined": "phronesis.agents.scorers.combined:ENTRY",
}


def scorer_names() -> list[str]:
    """Every scorer that can be named: the shipped ones in the table's order, then those of installed packages."""
    return [*SHIPPED, *sorted(installed("phronesis.scorers") - set(SHIPPED))]


def find_scorer(name: str) -> ScorerEntry:
    """The entry of that name, imported when asked for. Raises RecipeError with the nearest known name.

    A shipped name wins over an entry point (group ``phronesis.scorers``) that claims it."""
    return load_named(
        name,
        ScorerEntry,
        what="scorer",
        shipped=SHIPPED,
        group="phronesis.scorers",
        known=scorer_names(),
        error=RecipeError,
    )


def united(needs: Iterable[Mapping[str, tuple[Capability, ...]]]) -> dict[str, tuple[Capability, ...]]:
    """What each role's endpoint must offer when several scorers call it."""
    found: dict[str, tuple[Capability, ...]] = {}
    for part in needs:
        for role, capabilities in part.items():
            found[role] = tuple(dict.fromkeys((*found.get(role, ()), *capabilities)))
    return found


@dataclass(frozen=True)
class ChosenScorer:
    """A scorer as a recipe names it: entry and checked options."""

    text: str
    """As written."""
    entry: ScorerEntry
    options: ScorerOptions = field(default_factory=ScorerOptions)

    @property
    def name(self) -> str:
        return self.entry.name

    @property
    def kind(self) -> ScorerKind:
        return self.entry.kind

    @property
    def calls(self) -> ScorerCalls:
        return self.entry.calls(self.options)

    @property
    def roles(self) -> Mapping[str, tuple[Capability, ...]]:
        return self.entry.roles(self.options)

    @property
    def logprobs(self) -> bool:
        return self.entry.logprobs(self.options)

    @property
    def files(self) -> tuple[str, ...]:
        return self.entry.files(self.options)

    @property
    def tools(self) -> bool:
        return self.entry.tools(self.options)

    @property
    def accept(self) -> float:
        return self.entry.accept(self.options)

    @property
    def test(self) -> bool:
        return self.entry.test

    def outcome(self, around: ScorerContext) -> OutcomeScorer:
        return cast(OutcomeScorer, self._built(around, "outcome"))

    def step(self, around: ScorerContext) -> StepScorer:
        return cast(StepScorer, self._built(around, "step"))

    def group(self, around: ScorerContext) -> GroupScorer:
        return cast(GroupScorer, self._built(around, "group"))

    def _built(self, around: ScorerContext, kind: ScorerKind) -> object:
        if self.kind != kind:
            raise RecipeError(f"the scorer {self.text!r} is of kind {self.kind}, wanted is {kind}")
        return self.entry.build(around, self.options)


def choose_scorer(text: str, *, kinds: tuple[ScorerKind, ...] = ("outcome", "step", "group")) -> ChosenScorer:
    """The scorer a recipe names, its options checked.

    Raises RecipeError for an unknown name or option (with the nearest), a wrong value, a kind that is not allowed, or a
    rubric or taxonomy that cannot be read."""
    spec = NamedSpec.parse(text, what="scorer", error=RecipeError)
    entry = find_scorer(spec.name)
    if entry.kind not in kinds:
        fitting = [name for name in SHIPPED if find_scorer(name).kind in kinds]
        raise RecipeError(
            f"the scorer {spec.name!r} judges {_JUDGES[entry.kind]}, which does not fit here",
            mend=f"choose one of {', '.join(fitting)}",
        )
    chosen = ChosenScorer(text, entry, spec.checked(entry.options, what="scorer", error=RecipeError))
    entry.reads(chosen.options)
    return chosen


_JUDGES: dict[ScorerKind, str] = {"outcome": "whole attempts", "step": "steps", "group": "attempts together"}
