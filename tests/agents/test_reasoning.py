"""Models that think: thinking is never an answer, the switch reaches the server and the hash, the budget holds."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from phronesis.agents.client import limiter
from phronesis.agents.client.endpoint import Endpoint
from phronesis.agents.client.metered import Metered
from phronesis.agents.client.replicas import Replicas
from phronesis.agents.client.retry import RetryRule
from phronesis.agents.client.run_client import Journaled
from phronesis.agents.client.thinking import split_thinking
from phronesis.core.budget import Account, Branch
from phronesis.core.chat import Batch, ChatRequest, Completion, Reply, Sampling, Usage, as_messages, request_hash
from phronesis.core.effects import Effects
from phronesis.core.errors import CapabilityMissing, ConfigurationError, RecipeError
from phronesis.core.http import close_pools
from phronesis.core.journal import Journal
from phronesis.core.site import Site
from phronesis.graphs.recipe import Recipe
from phronesis.testing import FakeReply, FakeRequest, FakeServer, Fault, ScriptedClient

T = TypeVar("T")
QUICK = RetryRule(retries=1, first=0.002)


@pytest.fixture(autouse=True)
def fresh_limiters(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A port that comes back must not bring an earlier test's limit with it."""
    monkeypatch.setattr(limiter, "_LIMITERS", {})
    yield


def go(work: Coroutine[Any, Any, T]) -> T:
    async def inner() -> T:
        try:
            return await asyncio.wait_for(work, 20)
        finally:
            await close_pools()

    return asyncio.run(inner())


def asked(**fields: Any) -> ChatRequest:
    return ChatRequest(messages=as_messages([("user", "How many?")]), **fields)


def thinking(limit: int | None = None, *, most: int = 100, switch: bool | None = None) -> Sampling:
    return Sampling(max_tokens=most, thinking=switch, thinking_tokens=limit)


def complete(server: FakeServer, request: ChatRequest | None = None, n: int = 1) -> Batch:
    return go(Endpoint(base_url=server.url, retry=QUICK).complete(request or asked(), n))


# Thinking that stands in the text.


@pytest.mark.parametrize(
    ("text", "opened", "thought", "answer"),
    [
        ("<think>\nIs it 4?\n</think>\n\nIt is 4.", False, "Is it 4?", "It is 4."),
        ("\n <think>a</think>b", False, "a", "b"),
        ("Is it 4?\n</think>\n\nIt is 4.", False, "Is it 4?", "It is 4."),
        ("Is it 4?\n</think>\n\nIt is 4.", True, "Is it 4?", "It is 4."),
        ("<think>\n\n</think>\n\nIt is 4.", False, "", "It is 4."),
        ("<think>Is it 4? \\boxed{4}", False, "Is it 4? \\boxed{4}", ""),
        ("Is it 4? \\boxed{4}", True, "Is it 4? \\boxed{4}", ""),
        ("It is 4.", False, "", "It is 4."),
        (" It is 4.\n", False, "", " It is 4.\n"),
        ("It is 4, <think> is a tag.", False, "", "It is 4, <think> is a tag."),
        ("", False, "", ""),
        ("<think>a</think>b</think>c", False, "a", "b</think>c"),
    ],
)
def test_thinking_and_answer_are_told_apart(text: str, opened: bool, thought: str, answer: str) -> None:
    assert split_thinking(text, opened=opened) == (thought, answer)


def test_a_server_without_a_reasoning_parser() -> None:
    with FakeServer(lambda request, index: f"<think>\nmaybe {index}\n</think>\n\nIt is {index}.") as server:
        first, second = complete(server, n=2).completions
    assert (first.text, first.reasoning) == ("It is 0.", "maybe 0")
    assert (second.text, second.reasoning) == ("It is 1.", "maybe 1")


def test_a_template_that_opens_the_thinking() -> None:
    texts = iter(["maybe 4 </think> It is 4.", "maybe 4 \\boxed{4}", "It is 4."])
    with FakeServer(lambda request, index: next(texts), opens_thinking=True) as server:
        whole, cut = complete(server).completions[0], complete(server).completions[0]
        switched_off = complete(server, asked(sampling=thinking(switch=False))).completions[0]
    assert (whole.text, whole.reasoning) == ("It is 4.", "maybe 4")
    assert (cut.text, cut.reasoning) == ("", "maybe 4 \\boxed{4}")
    assert switched_off.text == "It is 4."


def test_a_continued_turn_is_no_thinking() -> None:
    with FakeServer(lambda request, index: " 2 + 2 = 4", opens_thinking=True) as server:
        assert complete(server, asked(prefill="Step 1:")).completions[0].text == " 2 + 2 = 4"


def test_a_reply_that_ends_inside_its_thinking_is_never_an_answer() -> None:
    with FakeServer(lambda request, index: "<think> it must be \\boxed{7} " + "because " * 900) as server:
        recipe = Recipe.load("self_consistency", overrides={"knobs.k": 3, "models.default.base_url": server.url})
        result = recipe.run("What is 3 + 4?")
    assert result.answer is None and result.unparsable == 3
    assert all(candidate.status == "unparsable" and candidate.text == "" for candidate in result.candidates)


def test_thinking_tokens_are_counted_where_the_server_tells() -> None:
    with FakeServer(lambda request, index: FakeReply("It is 4.", reasoning="one two three")) as server:
        usage = complete(server, n=2).usage
        result = Recipe.load("direct", overrides={"models.default.base_url": server.url}).run("What is 3 + 4?")
    assert (usage.reasoning_tokens, usage.completion_tokens) == (6, 12)
    assert result.usage.reasoning_tokens == 3 and result.usage.by_role["solver"].reasoning_tokens == 3


# The switch.


@pytest.mark.parametrize("switch", [True, False])
def test_the_switch_is_sent(switch: bool) -> None:
    with FakeServer() as server:
        complete(server, asked(sampling=thinking(switch=switch)))
        complete(server)
        assert server.seen[0].body["chat_template_kwargs"] == {"enable_thinking": switch}
        assert "chat_template_kwargs" not in server.seen[1].body


def test_requests_that_do_not_mention_thinking_are_hashed_as_before() -> None:
    assert asked().to_json()["sampling"] == {"temperature": 0.7, "top_p": 0.95, "max_tokens": 512}
    assert request_hash(asked().to_json()) == "cccd28bab3aa3080"
    hashes = {
        request_hash(asked(sampling=Sampling(thinking=switch, thinking_tokens=limit)).to_json())
        for switch in (None, True, False)
        for limit in (None, 100, 200)
    }
    assert len(hashes) == 9


def test_no_usage_of_thinking_leaves_no_trace_in_a_journal() -> None:
    assert "reasoning_tokens" not in Usage(calls=1).to_json()
    assert Usage.from_json(Usage(reasoning_tokens=3).to_json()).reasoning_tokens == 3


RECIPE = """
schema = "phronesis/recipe/1"
name = "mine"
strategy = "self_consistency"
[knobs]
k = 2
[models.default]
base_url = "{url}"
{default}
[models.solver]
{solver}
"""


@pytest.mark.parametrize(
    ("default", "solver", "sent"),
    [
        ("thinking = true", "", {"enable_thinking": True}),
        ("thinking = true", "thinking = false", {"enable_thinking": False}),
        ("thinking_tokens = 20", "thinking = false", {"enable_thinking": False}),
        ("", "", None),
    ],
)
def test_a_recipe_switches_thinking_by_role(default: str, solver: str, sent: dict[str, bool] | None) -> None:
    with FakeServer() as server:
        text = RECIPE.replace("{url}", server.url).replace("{default}", default).replace("{solver}", solver)
        assert Recipe.parse(text).run("What is 3 + 4?").status == "ok"
        assert {str(request.body.get("chat_template_kwargs")) for request in server.seen} == {str(sent)}
        assert server.requests == 1


def test_a_recipe_says_what_is_wrong_with_the_switch() -> None:
    for line, says in (("thinking = 3", "thinking"), ("thinking_tokens = 0", "greater than or equal to 1")):
        text = RECIPE.replace("{url}", "http://a/v1").replace("{default}", line).replace("{solver}", "")
        with pytest.raises(RecipeError, match=says):
            Recipe.parse(text)


# The budget.


def slow_thinker(request: FakeRequest, index: int) -> str:
    """Thinks for 50 words unless its thinking is closed for it; then it answers, and says how much it had thought."""
    if "</think>" in request.prefill:
        thought = request.prefill.partition("</think>")[0]
        return f"After {thought.count('hm')} it is \\boxed{{4}}."
    return "<think> " + "hm " * 50 + "</think> After all it is \\boxed{4}."


def test_the_budget_ends_the_thinking_and_asks_for_the_answer() -> None:
    with FakeServer(slow_thinker) as server:
        batch = complete(server, asked(sampling=thinking(20)))
        first, second = (request.body for request in server.seen)
    (made,) = batch.completions
    assert (made.text, made.finish) == ("After 19 it is \\boxed{4}.", "stop")
    assert made.reasoning == " ".join(["hm"] * 19)
    assert (first["max_tokens"], first["stop"]) == (20, ["</think>"])
    assert second["max_tokens"] == 80 and "stop" not in second
    assert second["messages"][-1]["content"].startswith("<think>\nhm hm") and second["continue_final_message"]
    assert (batch.usage.calls, batch.usage.requests, batch.usage.reasoning_tokens) == (1, 2, 20)
    assert batch.usage.completion_tokens == made.tokens == 20 + 5


def test_thinking_that_ends_by_itself_is_kept_whole() -> None:
    with FakeServer(slow_thinker) as server:
        (made,) = complete(server, asked(sampling=thinking(90))).completions
    assert made.text == "After 50 it is \\boxed{4}."


@pytest.mark.parametrize("parser", [False, True])
def test_it_works_whatever_the_server_makes_of_thinking(parser: bool) -> None:
    """With and without a reasoning parser, which may take the continued answer for thinking."""

    def reply(request: FakeRequest, index: int) -> str | FakeReply:
        if "</think>" in request.prefill:
            return FakeReply("", reasoning="It is 4.") if parser else "It is 4."
        return FakeReply("", reasoning="hm hm") if parser else "hm hm"

    with FakeServer(reply, opens_thinking=True) as server:
        (made,) = complete(server, asked(sampling=thinking(20))).completions
    assert (made.text, made.reasoning) == ("It is 4.", "hm hm")


def test_prefill_schema_and_stops_belong_to_the_answer() -> None:
    with FakeServer(slow_thinker) as server:
        wanted = asked(
            sampling=thinking(20), prefill="Step 1:", stop=("\n\n",), reply_schema={"type": "object"}, seed=5
        )
        complete(server, wanted)
        first, second = server.seen
    assert first.prefill == "" and "response_format" not in first.body and first.body["seed"] == 5
    assert second.prefill.endswith("</think>\n\nStep 1:") and second.body["stop"] == ["\n\n"]
    assert "response_format" in second.body and second.body["seed"] != 5


def test_logprobs_cover_thinking_and_answer() -> None:
    with FakeServer(slow_thinker) as server:
        (made,) = complete(server, asked(sampling=thinking(20), logprobs=2)).completions
    assert made.logprobs is not None and len(made.logprobs.tokens) == made.tokens == len(made.logprobs.top)


def test_several_choices_are_several_requests_each_with_its_own_thinking() -> None:
    with FakeServer(slow_thinker) as server:

        async def work() -> tuple[tuple[int, ...], Batch]:
            one = Endpoint(base_url=server.url)
            return await one.chunks(3, asked(sampling=thinking(20))), await one.complete(
                asked(sampling=thinking(20)), 2
            )

        cut, batch = go(work())
    assert cut == (1, 1, 1)
    assert (len(batch.completions), batch.usage.calls, batch.usage.requests) == (2, 2, 3)


def test_nothing_left_for_the_answer_is_said_before_anything_is_sent() -> None:
    with FakeServer() as server:
        with pytest.raises(ConfigurationError, match="thinking_tokens = 100 leaves nothing of max_tokens = 100"):
            complete(server, asked(sampling=thinking(100)))
        assert server.requests == 0


def test_a_server_that_continues_no_turn_is_refused() -> None:
    with FakeServer(prefill="no") as server:
        with pytest.raises(CapabilityMissing, match="thinking_tokens = 20 needs prefill"):
            complete(server, asked(sampling=thinking(20)))
        with pytest.raises(CapabilityMissing, match="prefill"), FakeServer() as other:
            endpoints = [Endpoint(base_url=server.url), Endpoint(base_url=other.url)]
            go(Replicas(endpoints=endpoints).complete(asked(sampling=thinking(20)), 1))
        assert server.requests == 0


def sampled(endpoint: Any, folder: Path, n: int) -> tuple[tuple[Reply, ...], Account]:
    journal = Journal(folder)
    account = Account()

    async def work() -> tuple[Reply, ...]:
        client = Journaled(Metered(endpoint), Effects(journal, "t"), seed=0, task="t")
        return await client.sample(asked(sampling=thinking(20)), n, site=Site(Branch("p", account), "solver"))

    try:
        return go(work()), account
    finally:
        journal.close()


def test_it_is_one_call_of_the_account_and_replays_whole(tmp_path: Path) -> None:
    with FakeServer(slow_thinker) as server:
        replies, account = sampled(Endpoint(base_url=server.url), tmp_path, 3)
        assert (account.spent_calls, account.depth, account.usage.calls, account.usage.requests) == (3, 1, 3, 6)
    again, replayed = sampled(ScriptedClient([]), tmp_path, 3)
    assert again == replies and replayed.usage == account.usage
    assert all(isinstance(reply, Completion) and reply.reasoning for reply in again)


def test_a_lost_answer_is_a_failure_whose_thinking_is_paid_for(tmp_path: Path) -> None:
    def fault(request: FakeRequest, number: int) -> Fault | None:
        return Fault(404) if request.prefill else None

    with FakeServer(slow_thinker, faults=fault) as server:
        (reply,), account = sampled(Endpoint(base_url=server.url), tmp_path, 1)
    assert not isinstance(reply, Completion)
    assert (account.usage.calls, account.usage.failed_calls, account.usage.requests) == (0, 1, 2)
    assert account.usage.completion_tokens == 20
    _, replayed = sampled(ScriptedClient([]), tmp_path, 1)
    assert replayed.usage == account.usage


def test_labels_are_asked_for_without_thinking() -> None:
    reply = FakeReply("Yes", top={"Yes": -0.3, "No": -1.5})
    with FakeServer(lambda request, index: reply) as server:
        work = Endpoint(base_url=server.url).label_probabilities(asked(sampling=thinking(20)), ("Yes", "No"))
        found, batch = go(work)
    assert found.probabilities["Yes"] > 0.5 and batch.usage.requests == 1
