"""Abstractor, parameterised form (ArcMemo, arXiv 2509.04439, its program-synthesis format): typed, named concepts.

Two calls a solution, as in the paper: solution -> pseudocode and a one-line summary; these and the memory -> concepts. A
known concept is used again, or extended, by its exact name. Differs from the paper: JSON instead of YAML, numbers masked,
no demonstrations from hand annotations.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, cast

from pydantic import BaseModel, ConfigDict, Field, field_validator

from phronesis.agents.abstractor import mask_of, shown
from phronesis.agents.decode import ask
from phronesis.agents.masking import general
from phronesis.agents.prompt import load_prompt
from phronesis.core.chat import ChatRequest, Sampling
from phronesis.core.concept import Concept, Parameter
from phronesis.core.ports import ChatClient
from phronesis.core.site import Site
from phronesis.core.task import Task

MOST_CONCEPTS = 5
"""Concepts of one solution that are asked for; the prompt says so too."""
_KINDS = ("structure", "routine")


class _Reply(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Pseudocode(_Reply):
    """The first reply."""

    pseudocode: str = Field(min_length=8, max_length=2000)
    summary: str = Field(min_length=4, max_length=300)

    @field_validator("pseudocode", mode="before")
    @classmethod
    def _lines(cls, value: object) -> object:
        """A list of lines is one text."""
        return "\n".join(map(str, value)) if isinstance(value, list) else value


class ParameterEntry(_Reply):
    """A parameter as the model writes it."""

    name: str = Field(min_length=1, max_length=60)
    typing: str = Field(default="", max_length=120)
    description: str = Field(default="", max_length=300)

    @field_validator("typing", "description", mode="before")
    @classmethod
    def _empty(cls, value: object) -> object:
        return "" if value is None else value


class ConceptEntry(_Reply):
    """A concept as the model writes it: new, or the name of a known one with what is new about it."""

    concept: str = Field(min_length=2, max_length=80)
    """The name."""
    kind: str = ""
    subtype: str = Field(default="", max_length=60)
    typing: str = Field(default="", max_length=120)
    parameters: tuple[ParameterEntry, ...] = Field(default=(), max_length=8)
    description: str = Field(default="", max_length=600)
    cues: tuple[str, ...] = Field(default=(), max_length=8)
    implementation: tuple[str, ...] = Field(default=(), max_length=8)

    @field_validator("kind", "subtype", "typing", "description", mode="before")
    @classmethod
    def _empty(cls, value: object) -> object:
        return "" if value is None else value

    @field_validator("parameters", "cues", "implementation", mode="before")
    @classmethod
    def _list(cls, value: object) -> object:
        """Nothing is an empty list, a text a list of one, and a line ``k: v`` that came as an object is a line again."""
        if value is None:
            return []
        items = [value] if isinstance(value, str) else value
        return [_line(item) for item in items] if isinstance(items, list) else items

    @field_validator("concept", "description")
    @classmethod
    def _general(cls, value: str) -> str:
        return general(value)

    @field_validator("cues", "implementation")
    @classmethod
    def _general_lines(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(general(line) for line in value)


def _line(item: object) -> object:
    if isinstance(item, dict) and len(item) == 1 and "name" not in item:
        ((key, said),) = item.items()
        return f"{key}: {said}"
    return item


class ConceptEntries(_Reply):
    """The second reply."""

    concepts: tuple[ConceptEntry, ...] = Field(min_length=1, max_length=12)


class Resolved(NamedTuple):
    """Entries as concepts that can be written, and those that cannot."""

    concepts: tuple[Concept, ...]
    refused: tuple[tuple[str, str], ...]
    """(name, why)."""


@dataclass(frozen=True, kw_only=True)
class ParameterisedAbstractor:
    """Two calls, each one more after a re-ask. Raises MalformedReply, ModelError, BudgetExhausted."""

    client: ChatClient
    sampling: Sampling

    async def abstract(self, task: Task, solution: str, vocabulary: str, *, site: Site) -> tuple[ConceptEntry, ...]:
        """What the model makes of the solution, at most MOST_CONCEPTS; ``vocabulary``: the concepts it may use by name."""
        first = shown(task, "abstractor_pseudocode", self.sampling, {"solution": solution})
        told = await ask(self.client, first, Pseudocode, site=site.at("pseudocode"))
        mask = mask_of(task)
        values = {
            "memory": vocabulary or "(none yet)",
            "summary": mask(told.summary),
            "pseudocode": mask(told.pseudocode),
        }
        messages, prefill = load_prompt("abstractor_concepts").fill(values)
        second = ChatRequest(messages=messages, prefill=prefill, sampling=self.sampling)
        found = await ask(self.client, second, ConceptEntries, site=site.at("concepts"))
        return found.concepts[:MOST_CONCEPTS]


def resolve(entries: tuple[ConceptEntry, ...], known: Mapping[str, Concept], *, source: str) -> Resolved:
    """The entries as concepts. ``known``: valid concepts by name, case aside, as they are looked up.

    A known name keeps its kind and its description, whatever the entry says of them. A new one needs a kind and a
    description of its own: it is refused without, never filled in."""
    concepts: list[Concept] = []
    refused: list[tuple[str, str]] = []
    names = {name.casefold(): concept for name, concept in known.items()}
    for entry in entries:
        old = names.get(entry.concept.casefold())
        kind = old.kind if old is not None else entry.kind.strip().casefold()
        if old is None and kind not in _KINDS:
            refused.append((entry.concept, f"a new concept of the kind {entry.kind!r}; structure or routine is needed"))
        elif old is None and not entry.description.strip():
            refused.append((entry.concept, "a new concept without a description"))
        elif not any(character.isalnum() for character in entry.concept):
            refused.append((entry.concept, "a name without a word"))
        else:
            description = entry.description.strip() or (old.suggestion if old is not None else "")
            concepts.append(_concept(entry, kind, description, source))
    return Resolved(tuple(concepts), tuple(refused))


def _concept(entry: ConceptEntry, kind: str, description: str, source: str) -> Concept:
    said: dict[str, Any] = {"subtype": entry.subtype, "typing": entry.typing, "source": source}
    return Concept(
        name=entry.concept,
        kind=cast(Literal["structure", "routine"], kind),
        suggestion=description,
        parameters=tuple(Parameter(**item.model_dump()) for item in entry.parameters),
        cues=entry.cues,
        implementation=entry.implementation,
        **said,
    )
