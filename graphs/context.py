"""What a node finds beside the state: clients, account, journal. LangGraph passes it as the run's context."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from phronesis.core.budget import Branch
from phronesis.core.chat import Sampling
from phronesis.core.effects import Effects
from phronesis.core.journal import EventType
from phronesis.core.ports import AnswerSpace, ChatClient, ProgramRunner
from phronesis.core.result import Candidate, Failure
from phronesis.core.task import Task
from phronesis.graphs.nodes.asking import Person
from phronesis.graphs.nodes.calling import ToolBox
from phronesis.graphs.nodes.searching import Searcher
from phronesis.graphs.policies.reward import RewardStatistics


@dataclass
class Reports:
    """What a run says about itself beside its answer."""

    failures: list[Failure] = field(default_factory=list)
    degraded: list[str] = field(default_factory=list)
    decisions: list[dict[str, Any]] = field(default_factory=list)
    sections: list[str] = field(default_factory=list)
    """Memory sections of retries' prompts; that of the solver's is ``RunContext.memory``."""
    trajectories: dict[str, str] = field(default_factory=dict)
    """What an agent did on the way to a candidate, by its id; without an entry the candidate's text is all there is."""
    first_rewards: dict[str, float] = field(default_factory=dict)
    """Reward of the task's first chain by statistics key; they become the next run's statistics."""


@dataclass(frozen=True, kw_only=True)
class RunContext:
    """One task's surroundings."""

    task: Task
    answers: AnswerSpace
    root: Branch
    """The empty path and the task's account."""
    effects: Effects
    client_of: Callable[[str], ChatClient]
    """The journalled and metered client of a role."""
    sampling_of: Callable[[str], Mapping[str, Any]]
    """What the recipe sets for a role's sampling."""
    model_of: Callable[[str], str]
    """Name of the role's model, pinned at the run's start."""
    statistics: Mapping[str, RewardStatistics]
    """Read once at the run's start, by key."""
    programs: ProgramRunner
    """Runs programs under limits; each run is a journalled effect."""
    bank: Callable[[str], Sequence[Candidate]]
    """The attempts at this task that a finished run recorded, by the run's id."""
    search: Searcher
    """Searches the recipe's documents."""
    tools: ToolBox
    """The recipe's tools."""
    person: Person = field(default_factory=lambda: Person(""))
    """Who is asked where a person has to be."""
    memory: str = ""
    """The rendered memory section of the solver's prompt; empty = none."""
    recall_again: Callable[[str, Branch], Awaitable[str]] | None = None
    """The memory section for a retry: what was tried and said of it, and the branch that retries and pays -> rendered
    concepts that were not shown yet, or an empty text. None = there is no memory."""
    reports: Reports = field(default_factory=Reports)
    prefix: str = ""
    """Stands before the keys of notes: that of a later attempt of the whole strategy."""

    def sampling(self, role: str, default: Sampling) -> Sampling:
        """The strategy's sampling for a role with the recipe's settings on top."""
        return replace(default, **self.sampling_of(role))

    def note(self, kind: EventType, key: str, data: Mapping[str, Any]) -> None:
        """Journals something that follows from effects; decisions and votes also reach the Result."""
        self.effects.note(kind, f"{self.prefix}{key}", data)
        if kind in ("decision", "vote"):
            self.reports.decisions.append({"type": kind, "key": f"{self.prefix}{key}", **data})

    def report(self, failure: Failure) -> None:
        """Journals a failure that cost no candidate, and hands it to the Result."""
        self.effects.note("node", f"failure:{failure.where}", failure.model_dump())
        self.reports.failures.append(failure)
