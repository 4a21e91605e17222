"""Curator: looks after what is remembered. It shortens a concept's lists, and says whether concepts are the same.

The compression is ArcMemo's (arXiv 2509.04439); ``same`` is ours. What the model writes may only be made of what the concepts
say: a reply that brings in other words or figures, or forgets an item, is malformed. So an order that stands inside a concept
cannot put anything into another one. Nor are concepts the same when only one of them says not to do something: a 1.5B model
took "multiply" and "never multiply" for the same.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from phronesis.agents.decode import ask
from phronesis.agents.grounding import denies, figures, share
from phronesis.agents.prompt import load_prompt
from phronesis.core.chat import ChatRequest, Sampling
from phronesis.core.concept import Concept, tidy
from phronesis.core.ports import ChatClient
from phronesis.core.site import Site

SAMPLING = Sampling(temperature=0.1, top_p=0.95, max_tokens=1024)
"""ArcMemo's temperature and length."""
OWN_WORDS = 0.6
"""Least share of an item's words that must stand in what it was made from."""
KEPT = 0.4
"""Least share of an old item's words that must still stand in the new list, or it counts as forgotten."""
SHARED = 0.25
"""Least share of a common wording's words that each of its concepts must have itself."""


class Lists(BaseModel):
    """A concept's lists, shortened."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    cues: tuple[str, ...]
    implementation: tuple[str, ...]


class Relation(BaseModel):
    """How concepts relate."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    verdict: Literal["same", "conflict", "different"]
    numbers: tuple[int, ...] = ()
    """The concepts it speaks of, from 1, in rising order; empty for ``different``."""
    situation: str = Field(default="", max_length=600)
    """The wording for all, of ``same``."""
    suggestion: str = Field(default="", max_length=600)

    @field_validator("numbers")
    @classmethod
    def _rising(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(sorted(value))


@dataclass(frozen=True, kw_only=True)
class Curator:
    """One call for each question, two after a re-ask."""

    client: ChatClient
    sampling: Sampling = SAMPLING

    async def compress(self, concept: Concept, *, site: Site) -> Lists:
        """The concept's cues and notes without repeats, near repeats fused. A list may not grow, nor lose what it said.

        Raises MalformedReply, ModelError, BudgetExhausted."""
        shown = {"name": concept.name, "situation": concept.situation, "suggestion": concept.suggestion}
        lists = {"cues": list(concept.cues), "implementation": list(concept.implementation)}
        values = {"entry": _shown({**{key: text for key, text in shown.items() if text}, **lists})}
        reply = await ask(self.client, self._request("compress", values), _lists_of(concept), site=site)
        return Lists(cues=reply.cues, implementation=reply.implementation)

    async def same(self, concepts: Sequence[Concept], *, site: Site) -> Relation:
        """How two or more concepts relate; which of them, where it is not all.

        Raises MalformedReply, ModelError, BudgetExhausted."""
        lines = [_shown({"number": number, **said(concept)}) for number, concept in enumerate(concepts, start=1)]
        request = self._request("same", {"entries": "\n".join(lines)})
        reply = await ask(self.client, request, _relation_of(concepts), site=site)
        return Relation.model_validate(reply.model_dump())

    def _request(self, prompt: str, values: dict[str, str]) -> ChatRequest:
        messages, prefill = load_prompt(prompt).fill(values)
        return ChatRequest(messages=messages, prefill=prefill, sampling=self.sampling)


def said(concept: Concept) -> dict[str, Any]:
    """What a concept says, empty fields and its source left out."""
    fields = concept.model_dump(mode="json", exclude={"source"}, exclude_defaults=True)
    return {"kind": concept.kind, **fields}


def _shown(fields: dict[str, Any]) -> str:
    return json.dumps(fields, ensure_ascii=False)


def _lists_of(concept: Concept) -> type[Lists]:
    """The reply that fits this concept's lists."""

    class Checked(Lists, title=Lists.__name__):
        @model_validator(mode="after")
        def _fits(self) -> Checked:
            _check_list("cues", concept.cues, self.cues)
            _check_list("implementation", concept.implementation, self.implementation)
            return self

    Checked.__name__ = Lists.__name__
    return Checked


def _check_list(name: str, old: Sequence[str], new: Sequence[str]) -> None:
    items = [item for text in new if (item := tidy(text))]
    if len(items) > len(old):
        raise ValueError(f"{name} has {len(items)} items and had {len(old)}")
    if old and not items:
        raise ValueError(f"{name} is empty")
    known = figures(" ".join(old))
    for item in items:
        if figures(item) - known:
            raise ValueError(f"{name}: {item[:80]!r} holds a figure that was not there")
        if share(item, old) < OWN_WORDS:
            raise ValueError(f"{name}: {item[:80]!r} was not there")
    for item in old:
        if max(share(item, [text]) for text in items) < KEPT:
            raise ValueError(f"{name}: {item[:80]!r} was forgotten")


def _relation_of(concepts: Sequence[Concept]) -> type[Relation]:
    """The reply that fits these concepts."""

    class Checked(Relation, title=Relation.__name__):
        @model_validator(mode="before")
        @classmethod
        def _completed(cls, data: Any) -> Any:
            """Two concepts need no numbers, and ``different`` speaks of none."""
            if not isinstance(data, dict):
                return data
            if data.get("verdict") == "different":
                return {**data, "numbers": (), "situation": "", "suggestion": ""}
            return data if data.get("numbers") else {**data, "numbers": tuple(range(1, len(concepts) + 1))}

        @model_validator(mode="after")
        def _fits(self) -> Checked:
            _check_relation(concepts, self)
            return self

    Checked.__name__ = Relation.__name__
    return Checked


def _check_relation(concepts: Sequence[Concept], relation: Relation) -> None:
    numbers = relation.numbers
    if relation.verdict == "different":
        return
    if len(set(numbers)) != len(numbers) or not set(numbers) <= set(range(1, len(concepts) + 1)):
        raise ValueError(f"numbers = {list(numbers)} are not numbers of the entries")
    if len(numbers) < 2 or (relation.verdict == "conflict" and len(numbers) > 2):
        raise ValueError(f"{relation.verdict!r} cannot speak of {len(numbers)} entries")
    if relation.verdict == "conflict":
        return
    meant = [concepts[number - 1] for number in numbers]
    if len({denies(concept.suggestion) for concept in meant}) > 1:
        raise ValueError("one of these entries says not to do something and another does not, so they are not the same")
    texts = [" ".join(_texts(concept)) for concept in meant]
    for name in ("situation", "suggestion"):
        text = tidy(getattr(relation, name))
        if not text and (name == "suggestion" or any(concept.situation for concept in meant)):
            raise ValueError(f"{name} is empty")
        if figures(text) - figures(" ".join(texts)):
            raise ValueError(f"{name} holds a figure that none of the entries has")
        if share(text, texts) < OWN_WORDS:
            raise ValueError(f"{name} is not made of what the entries say")
        for number, own in zip(numbers, texts, strict=True):
            if share(text, [own]) < SHARED:
                raise ValueError(f"{name} says nothing that entry {number} says")


def _texts(concept: Concept) -> tuple[str, ...]:
    return (concept.name, concept.situation, concept.suggestion, *concept.cues, *concept.implementation)
