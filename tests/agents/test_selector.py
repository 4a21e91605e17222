"""The selector: what it is shown, what counts of its reply, what a failure is."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from phronesis.agents.client.metered import Metered
from phronesis.agents.client.run_client import Journaled
from phronesis.agents.selector import Chosen, Selector, pick, reply_for
from phronesis.core.budget import Account, Branch, Budget
from phronesis.core.chat import Sampling
from phronesis.core.effects import Effects
from phronesis.core.errors import BudgetExhausted, MalformedReply
from phronesis.core.journal import Journal
from phronesis.core.site import Site
from phronesis.core.task import Message, Task
from phronesis.testing import ScriptedClient

TASK = Task(
    messages=(
        Message(role="system", content="Answer like a pirate."),
        Message(role="user", content="Hi."),
        Message(role="assistant", content="Ahoy."),
        Message(role="user", content="Two pumps fill a tank. How long?"),
    ),
    id="t",
)
SHOWN = "c1. When pumps fill a tank: add the rates\nc2. When a price falls: multiply"


class Asked:
    """A selector over scripted replies, and what it spent."""

    def __init__(self, *replies: str, calls: int | None = None) -> None:
        self.endpoint = ScriptedClient(replies)
        self.account = Account(Budget(calls=calls))
        effects = Effects(Journal(None), "t")
        client = Journaled(Metered(self.endpoint), effects, seed=0, task="t")
        self.selector = Selector(client=client, sampling=Sampling(max_tokens=400))
        self.site = Site(Branch("memory", self.account), "selector")

    def select(self, k: int = 2, **keys: Any) -> Any:
        return asyncio.run(self.selector.select(TASK, SHOWN, ["c1", "c2"], k, site=self.site, **keys))


def test_one_call_names_the_ids_and_their_reasons() -> None:
    asked = Asked('{"ids": ["c2", "c1"], "why": ["prices", "pumps"]}')
    found = asked.select()
    assert (found.ids, found.why, found.unknown) == (("c2", "c1"), ("prices", "pumps"), 0)
    (request,) = asked.endpoint.requests
    assert request.reply_schema is not None
    ids = request.reply_schema["properties"]["ids"]
    assert (ids["items"]["enum"], ids["maxItems"]) == (["c1", "c2"], 2)
    sent = [message.content for message in request.messages]
    assert sent[:2] == ["Hi.", "Ahoy."] and "pirate" not in "".join(sent)
    assert SHOWN in sent[2] and TASK.question in sent[2] and "at most 2 notes" in sent[2]
    assert asked.account.by_role["selector"].calls == 1 and asked.account.depth == 1


@pytest.mark.parametrize(
    ("ids", "why", "k", "kept", "reasons", "unknown"),
    [
        (["c9", "c1", "c1", "c2"], ["a", "b"], 2, ("c1", "c2"), ("b", ""), 1),
        (["c1", "c2"], ["one", "two", "three"], 1, ("c1",), ("one",), 0),
        ([], [], 2, (), (), 0),
        (["C1", "c1 ", "1"], [], 2, (), (), 3),
    ],
)
def test_only_ids_that_were_shown_count_and_never_more_than_k(
    ids: list[str], why: list[str], k: int, kept: tuple[str, ...], reasons: tuple[str, ...], unknown: int
) -> None:
    found = pick(Chosen(ids=tuple(ids), why=tuple(why)), ["c1", "c2"], k)
    assert (found.ids, found.why, found.unknown) == (kept, reasons, unknown)


def test_the_reasoning_one_thinks_before_it_names() -> None:
    asked = Asked('{"reasoning": "Pumps have rates.", "ids": ["c1"]}')
    assert asked.select(reasoned=True, attempt="It said 7, which was wrong.").ids == ("c1",)
    (request,) = asked.endpoint.requests
    assert request.reply_schema is not None
    assert list(request.reply_schema["properties"]) == ["reasoning", "ids", "why"]
    assert list(reply_for(["c1"], 1).model_json_schema()["properties"]) == ["ids", "why"]
    said = request.messages[-1].content
    assert "It said 7" in said and said.index(SHOWN) < said.index("by their types") and "at most" not in said[:50]


def test_what_cannot_be_read_is_asked_for_once_more() -> None:
    asked = Asked("c1, I think", '{"ids": ["c1"]}')
    assert asked.select().ids == ("c1",)
    assert len(asked.endpoint.requests) == 2 and asked.account.depth == 2
    with pytest.raises(MalformedReply):
        Asked("c1", "c1 again").select()
    with pytest.raises(MalformedReply):
        Asked('{"ids": [{"id": "c1"}]}', '{"chosen": ["c1"]}').select()


def test_a_budget_is_asked_first() -> None:
    asked = Asked("never read", calls=0)
    with pytest.raises(BudgetExhausted):
        asked.select()
    assert asked.endpoint.requests == []


def test_a_description_keeps_guesses_apart() -> None:
    said = {"observations": "Two things fill one.", "speculation": "Rates may add."}
    asked = Asked(json.dumps(said))
    found = asyncio.run(asked.selector.describe(TASK, site=asked.site))
    assert found.model_dump() == said
    with pytest.raises(MalformedReply):
        empty = Asked('{"observations": ""}', '{"speculation": "x"}')
        asyncio.run(empty.selector.describe(TASK, site=empty.site))
