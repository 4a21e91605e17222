"""Replies to typed values: what is tolerated, what is not, and the one re-ask."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from pydantic import BaseModel, ConfigDict, Field

from phronesis.agents.abstractor import Lesson
from phronesis.agents.client.metered import Metered
from phronesis.agents.client.run_client import Journaled
from phronesis.agents.decode import ask, decode
from phronesis.core.budget import Account, Branch, Budget
from phronesis.core.chat import ChatRequest, Completion, Sampling, as_messages
from phronesis.core.effects import Effects
from phronesis.core.errors import BudgetExhausted, MalformedReply, ModelError, ServerFailed
from phronesis.core.journal import Journal
from phronesis.core.site import Site
from phronesis.testing import FakeReply, ScriptedClient


class Verdict(BaseModel):
    """A reply with a number and a text."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    reason: str = Field(min_length=1)
    score: int


GOOD = Verdict(reason="it adds up", score=3)
PLAIN = '{"reason": "it adds up", "score": 3}'


@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        f"  \n{PLAIN}\n\n",
        f"```json\n{PLAIN}\n```",
        f"```\n{PLAIN}\n```",
        f"Here you are:\n```json\n{PLAIN}\n```\nAnything else?",
        f"Sure! {PLAIN}",
        f"{PLAIN} I hope this helps.",
        f"The reply is: {PLAIN} (as asked)",
        '{"score": 3, "reason": "it adds up", "more": [1, 2]}',
        '{"reason": "it adds up", "score": 3,}',
        "{'reason': 'it adds up', 'score': 3}",
        '{reason: "it adds up", "score": 3}',
        '{"reason": "it adds up" "score": 3}',
        '{"reason": "it adds up", "score": 3',
        '{"reason": "it adds up", "score": "3"}',
        '{"reason": "it adds up", // why\n "score": 3}',
    ],
)
def test_fences_prose_and_slips_are_tolerated(text: str) -> None:
    assert decode(Completion(text=text), Verdict) == GOOD


@pytest.mark.parametrize("reason", ["a { b", "a } b", 'say \\"no\\"', "two\\nlines", "use `x` and {{y}}", "素数"])
def test_texts_with_special_signs_come_through(reason: str) -> None:
    made = decode(Completion(text=f'Well: {{"reason": "{reason}", "score": 3}}'), Verdict)
    assert made.reason == reason.replace("\\n", "\n").replace("\\", "")


def test_a_fence_inside_a_string_is_part_of_the_string() -> None:
    made = decode(Completion(text='{"reason": "write ```x = 1``` first", "score": 3}'), Verdict)
    assert made.reason == "write ```x = 1``` first"


@pytest.mark.parametrize("text", ["", " \n\t ", "\u3000" * 20])
def test_an_empty_reply_is_empty_whatever_was_thought(text: str) -> None:
    with pytest.raises(MalformedReply) as caught:
        decode(Completion(text=text, reasoning=PLAIN), Verdict)
    assert caught.value.details["reason"] == "empty"


@pytest.mark.parametrize("text", [PLAIN, PLAIN[:-5], '{"reason": "it'])
def test_a_reply_that_was_cut_off_is_not_repaired(text: str) -> None:
    with pytest.raises(MalformedReply) as caught:
        decode(Completion(text=text, finish="length"), Verdict)
    assert caught.value.details == {"text": text, "reason": "cut off"}


@pytest.mark.parametrize("finish", ["stop", "other"])
def test_a_text_that_breaks_off_in_a_string_is_not_taken_for_the_whole(finish: str) -> None:
    text = '{"score": 3, "reason": "first multiply the packs by the pieces, then sub'
    with pytest.raises(MalformedReply):
        decode(Completion(text=text, finish=finish), Verdict)  # type: ignore[arg-type]  # a literal by construction


@pytest.mark.parametrize(
    "text",
    [
        "I cannot do that.",
        "null",
        "3",
        "[]",
        f"[{PLAIN}]",
        "{}",
        '{"reason": "it adds up"}',
        '{"Reason": "it adds up", "Score": 3}',
        '{"reason": "it adds up", "score": null}',
        '{"reason": "it adds up", "score": "high"}',
        '{"reason": "it adds up", "score": NaN}',
        '{"reason": "", "score": 3}',
        '{"reason": ["it adds up"], "score": 3}',
        '{"properties": {"reason": {"type": "string"}, "score": {"type": "integer"}}, "type": "object"}',
        '{"name": "verdict", "arguments": {"reason": "it adds up", "score": 3}}',
        "```json\n\n```",
        "{" * 50,
    ],
)
def test_what_is_not_the_reply_is_malformed_and_kept(text: str) -> None:
    with pytest.raises(MalformedReply) as caught:
        decode(Completion(text=text), Verdict)
    assert caught.value.details["text"] == text and caught.value.details["reason"] in ("keys", "empty")


def test_the_message_names_the_keys_that_are_wrong() -> None:
    with pytest.raises(MalformedReply, match=r"Verdict.*score"):
        decode(Completion(text='{"reason": "x"}'), Verdict)


def test_a_huge_reply_is_cut_in_the_error() -> None:
    with pytest.raises(MalformedReply) as caught:
        decode(Completion(text="word " * 20_000), Verdict)
    assert len(str(caught.value.details["text"])) <= 2000 and len(str(caught.value)) < 2000


REQUEST = ChatRequest(messages=as_messages([("user", "Judge this.")]), prefill="{", sampling=Sampling(max_tokens=30))


def asking(
    script: Sequence[str | FakeReply | ModelError], budget: Budget | None = None
) -> tuple[Verdict | Exception, ScriptedClient, Account]:
    endpoint, account = ScriptedClient(script), Account(budget)
    client = Journaled(Metered(endpoint), Effects(Journal(None), "t"), seed=0, task="t")
    site = Site(Branch("p", account), "judge")

    async def go() -> Verdict:
        return await ask(client, REQUEST, Verdict, site=site)

    try:
        return asyncio.run(go()), endpoint, account
    except (ModelError, BudgetExhausted) as error:
        return error, endpoint, account


def test_a_good_reply_costs_one_call() -> None:
    made, endpoint, account = asking([PLAIN])
    assert made == GOOD and account.spent_calls == account.depth == 1
    assert endpoint.requests[0].reply_schema == Verdict.model_json_schema()


@pytest.mark.parametrize("bad", ["", "no", "{}", FakeReply(PLAIN, finish="length")])
def test_a_bad_reply_is_asked_for_once_more(bad: str | FakeReply) -> None:
    made, endpoint, account = asking([bad, PLAIN])
    assert made == GOOD
    assert (account.spent_calls, account.depth, account.usage.calls) == (2, 2, 2)
    first, second = endpoint.requests
    assert second.messages[:1] == first.messages and [item.role for item in second.messages[1:]] == [
        "assistant",
        "user",
    ]
    assert second.messages[1].content and '"reason", "score"' in second.messages[2].content
    assert second.prefill == "" and second.reply_schema == first.reply_schema and second.seed != first.seed


def test_a_second_bad_reply_is_the_end() -> None:
    made, endpoint, account = asking(["no", "no again"])
    assert isinstance(made, MalformedReply) and made.details["text"] == "no again"
    assert len(endpoint.requests) == account.spent_calls == 2


def test_a_failed_call_is_not_asked_again() -> None:
    made, endpoint, _ = asking([ServerFailed("lost")])
    assert isinstance(made, ServerFailed) and len(endpoint.requests) == 1


def test_a_re_ask_needs_budget_like_any_call() -> None:
    made, endpoint, account = asking(["no"], Budget(calls=1))
    assert isinstance(made, BudgetExhausted) and len(endpoint.requests) == account.spent_calls == 1


def test_a_lesson_of_no_substance_is_malformed() -> None:
    good = '{"situation": "several packs of equal size", "suggestion": "multiply first"}'
    assert decode(Completion(text=good), Lesson).suggestion == "multiply first"
    for text in ('{"situation": "a", "suggestion": "multiply first"}', good.replace("multiply first", "x" * 601)):
        with pytest.raises(MalformedReply):
            decode(Completion(text=text), Lesson)
