"""The client of a run: one line per request, nothing paid twice, the same account on replay."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import orjson
import pytest

from phronesis.agents.client.endpoint import Endpoint
from phronesis.agents.client.metered import Metered
from phronesis.agents.client.retry import RetryRule
from phronesis.agents.client.run_client import Journaled
from phronesis.core.budget import Account, Branch, Budget
from phronesis.core.chat import ChatRequest, Completion, Reply, Sampling, as_messages
from phronesis.core.effects import Effects
from phronesis.core.errors import (
    BudgetExhausted,
    CapabilityMissing,
    ModelError,
    ReplayDiverged,
    ServerFailed,
)
from phronesis.core.http import close_pools
from phronesis.core.journal import FILE_NAME, Journal, read_events
from phronesis.core.ports import ChatEndpoint
from phronesis.core.side_by_side import side_by_side
from phronesis.core.site import Site
from phronesis.testing import FakeReply, FakeRequest, FakeServer, Fault, ScriptedClient

T = TypeVar("T")


def asked(text: str = "How many?", **fields: Any) -> ChatRequest:
    return ChatRequest(messages=as_messages([("user", text)]), **{"sampling": Sampling(max_tokens=20), **fields})


@dataclass
class Session:
    """One session of a run of one task."""

    client: Journaled
    account: Account
    root: Branch

    def site(self, path: str, role: str = "solver") -> Site:
        return Site(self.root.at(path), role)


def session(
    endpoint: ChatEndpoint,
    folder: Path | None,
    work: Callable[[Session], Awaitable[T]],
    *,
    budget: Budget | None = None,
    seed: int = 0,
    task: str = "t",
) -> tuple[T, Account]:
    """Opens the journal, does the work, closes; every token held must be free again afterwards."""
    journal = Journal(folder)

    async def go() -> tuple[T, Account]:
        effects = Effects(journal, task)
        account = Account(budget, seconds_before=effects.seconds_before)
        effects.watch(lambda: account.seconds)
        client = Journaled(Metered(endpoint), effects, seed=seed, task=task)
        try:
            value = await work(Session(client, account, Branch("", account)))
        finally:
            await close_pools()
        assert account._spent.tokens_in_flight == 0
        return value, account

    try:
        return asyncio.run(go())
    finally:
        journal.close()


def lines(folder: Path, *types: str) -> list[Any]:
    return [event for event in read_events(folder / FILE_NAME) if not types or event.type in types]


def texts(replies: tuple[Reply, ...]) -> list[str]:
    return [reply.text if isinstance(reply, Completion) else type(reply).__name__ for reply in replies]


def account_of(account: Account) -> tuple[Any, ...]:
    return dict(account.by_role), account.spent_calls, account.depth, account.denied


def test_there_is_one_line_for_each_request(tmp_path: Path) -> None:
    endpoint = ScriptedClient(lambda request, index: f"reply {index}", per_request=2)
    replies, account = session(endpoint, tmp_path, lambda s: s.client.sample(asked(), 5, site=s.site("p")))
    assert texts(replies) == ["reply 0", "reply 1", "reply 0", "reply 1", "reply 0"]
    found = lines(tmp_path)
    assert sorted((e.type, e.key, e.data["first"], e.data["count"]) for e in found) == [
        ("call", "p#solver.0[0:2]", 0, 2), ("call", "p#solver.0[2:4]", 2, 2), ("call", "p#solver.0[4:5]", 4, 1),
    ]  # fmt: skip
    assert all(e.data["role"] == "solver" and e.data["value"]["usage"]["requests"] == 1 for e in found)
    assert (account.spent_calls, account.depth, account.usage.calls, account.usage.requests) == (5, 1, 5, 3)


def test_every_request_has_a_seed_of_its_own_that_never_changes() -> None:
    def seeds(*, seed: int = 0, task: str = "t", path: str = "p") -> list[int | None]:
        endpoint = ScriptedClient(lambda request, index: "x", per_request=1)

        async def work(s: Session) -> None:
            await s.client.sample(asked(), 4, site=s.site(path))
            await s.client.sample(asked(), 1, site=s.site(path).again())

        session(endpoint, None, work, seed=seed, task=task)
        return [request.seed for request in endpoint.requests]

    found = [seeds(), seeds(seed=1), seeds(task="u"), seeds(path="q")]
    assert len({seed for row in found for seed in row}) == 4 * 5
    assert seeds() == found[0]


def test_a_failed_request_fails_its_own_samples_only(tmp_path: Path) -> None:
    endpoint = ScriptedClient(["a", ServerFailed("lost", requests=3), "c"], per_request=1)

    def work(s: Session) -> Awaitable[tuple[Reply, ...]]:
        return s.client.sample(asked(), 3, site=s.site("p"))

    replies, account = session(endpoint, tmp_path, work)
    assert texts(replies) == ["a", "ServerFailed", "c"]
    assert (account.usage.calls, account.usage.failed_calls, account.usage.requests) == (2, 1, 2 + 3)
    again, replayed = session(ScriptedClient([]), tmp_path, work)
    assert texts(again) == texts(replies) and account_of(replayed) == account_of(account)
    assert isinstance(again[1], ServerFailed) and again[1].details == {"requests": 3}


def test_a_request_with_several_choices_fails_as_a_whole(tmp_path: Path) -> None:
    endpoint = ScriptedClient(["a", ServerFailed("lost"), "c", "d"], per_request=2)
    replies, account = session(endpoint, tmp_path, lambda s: s.client.sample(asked(), 4, site=s.site("p")))
    assert texts(replies) == ["ServerFailed", "ServerFailed", "c", "d"]
    assert (account.usage.calls, account.usage.failed_calls, account.spent_calls) == (2, 2, 4)


def test_no_samples_cost_nothing(tmp_path: Path) -> None:
    endpoint = ScriptedClient([])
    replies, account = session(endpoint, tmp_path, lambda s: s.client.sample(asked(), 0, site=s.site("p")))
    assert replies == () and endpoint.requests == []
    assert (account.spent_calls, account.depth) == (0, 0)


def test_replies_come_back_whole(tmp_path: Path) -> None:
    made = FakeReply("two words", logprob=-0.25, finish="length", reasoning="because 素")

    def work(s: Session) -> Awaitable[tuple[Reply, ...]]:
        return s.client.sample(asked(logprobs=3), 2, site=s.site("p"))

    first, _ = session(ScriptedClient(lambda request, index: made), tmp_path, work)
    again, _ = session(ScriptedClient([]), tmp_path, work)
    assert again == first
    assert isinstance(first[0], Completion) and first[0].logprobs is not None and first[0].reasoning == "because 素"


def test_a_changed_prompt_diverges_before_anything_is_paid(tmp_path: Path) -> None:
    session(ScriptedClient(["a", "b"]), tmp_path, lambda s: s.client.sample(asked("one"), 2, site=s.site("p")))
    endpoint = ScriptedClient(["c", "d"])
    with pytest.raises(ReplayDiverged, match=r"messages\[0\]\.content was 'one' and is now 'two'"):
        session(endpoint, tmp_path, lambda s: s.client.sample(asked("two"), 2, site=s.site("p")))
    assert endpoint.requests == []


def test_errors_of_the_set_up_pass_and_leave_no_line(tmp_path: Path) -> None:
    class Unable(ScriptedClient):
        async def complete(self, request: ChatRequest, n: int) -> Any:
            raise CapabilityMissing("no logprobs")

    with pytest.raises(CapabilityMissing):
        session(Unable([], per_request=1), tmp_path, lambda s: s.client.sample(asked(), 2, site=s.site("p")))
    assert lines(tmp_path) == []
    replies, _ = session(ScriptedClient(["a", "b"]), tmp_path, lambda s: s.client.sample(asked(), 2, site=s.site("p")))
    assert texts(replies) == ["a", "b"]


# Power cuts.


async def strategy(s: Session) -> list[Any]:
    """Chunks side by side, a dependent call, labels, a re-ask, failures."""
    made: list[Any] = [texts(await s.client.sample(asked("first"), 5, site=s.site("a")))]

    async def branch(name: str) -> list[Any]:
        review = await s.client.sample(asked(f"review {name} of {made[0][0]}"), 1, site=s.site(name, "reviewer"))
        refined = await s.client.sample(asked(f"refine by {texts(review)}"), 2, site=s.site(name, "refiner"))
        return texts(review) + texts(refined)

    made += await side_by_side([branch("b0"), branch("b1")])
    for number in range(2):
        try:
            site = Site(s.root.at("c"), "judge", str(number))
            found = await s.client.label_probabilities(asked(f"judge {number} {made}"), ("Yes", "No"), site=site)
            made.append(sorted(found.probabilities.items()))
        except ModelError as error:
            made.append(type(error).__name__)
    made.append(texts(await s.client.sample(asked("last"), 1, site=s.site("d").again())))
    return made


def by_seed(request: ChatRequest, index: int) -> str | ServerFailed:
    assert request.seed is not None
    number = request.seed + index
    return ServerFailed("scripted", requests=2) if number % 5 == 0 else f"text {number % 97}"


def cuts(whole: bytes) -> list[bytes]:
    """Every prefix of whole lines, and each of them with half of the next line."""
    rows = whole.splitlines(keepends=True)
    found = []
    for count in range(len(rows) + 1):
        kept = b"".join(rows[:count])
        found.append(kept)
        if count < len(rows):
            found.append(kept + rows[count][: len(rows[count]) // 2])
    return found


@pytest.mark.parametrize("per_request", [1, 2, 128])
def test_a_power_cut_after_any_line_costs_nothing_twice(tmp_path: Path, per_request: int) -> None:
    endpoint = ScriptedClient(by_seed, labels={"Yes": 0.7}, per_request=per_request)
    whole, account = session(endpoint, tmp_path / "whole", strategy)
    assert "ServerFailed" in repr(whole), "the script has a failure in it"
    journal = (tmp_path / "whole" / FILE_NAME).read_bytes()
    assert journal.count(b"\n") == len(endpoint.requests)
    for number, kept in enumerate(cuts(journal)):
        folder = tmp_path / f"cut{number}"
        folder.mkdir()
        (folder / FILE_NAME).write_bytes(kept)
        resumed = ScriptedClient(by_seed, labels={"Yes": 0.7}, per_request=per_request)
        made, booked = session(resumed, folder, strategy)
        assert made == whole
        assert account_of(booked) == account_of(account)
        assert len(resumed.requests) == len(endpoint.requests) - kept.count(b"\n")
        journalled = {orjson.dumps(event.data["request"]) for event in lines(folder)[: kept.count(b"\n")]}
        assert not journalled & {orjson.dumps(request.to_json()) for request in resumed.requests if request.seed}
        silent = ScriptedClient([])
        assert session(silent, folder, strategy)[0] == whole and silent.requests == []


def judging(request: FakeRequest, index: int) -> str | FakeReply:
    if "judge" in request.user:
        return FakeReply("Yes", top={"Yes": -0.3, "No": -1.6})
    return f"text {(request.fingerprint + index) % 97}"


def test_power_cuts_over_a_server_that_fails_now_and_then(tmp_path: Path) -> None:
    def fault(request: FakeRequest, number: int) -> Fault | None:
        return Fault(500) if request.fingerprint % 4 == 0 else None

    with FakeServer(judging, faults=fault) as server:

        def fresh() -> Endpoint:
            return Endpoint(base_url=server.url, retry=RetryRule(retries=1, first=0.001))

        whole, account = session(fresh(), tmp_path / "whole", strategy)
        journal = (tmp_path / "whole" / FILE_NAME).read_bytes()
        calls, rows = server.calls, [event.data for event in lines(tmp_path / "whole")]
        brought = [len(row["value"].get("completions", [1])) if "value" in row else 0 for row in rows]
        assert calls == sum(brought) and 0 in brought, "some requests failed, the others are counted"
        for number, kept in enumerate(cuts(journal)):
            folder = tmp_path / f"cut{number}"
            folder.mkdir()
            (folder / FILE_NAME).write_bytes(kept)
            server.calls = 0
            made, booked = session(fresh(), folder, strategy)
            assert made == whole and account_of(booked) == account_of(account)
            assert server.calls == sum(brought[kept.count(b"\n") :])


# Budgets.


def test_a_denial_is_journalled_and_stays(tmp_path: Path) -> None:
    async def work(s: Session) -> list[Any]:
        made: list[Any] = [texts(await s.client.sample(asked(), 2, site=s.site("a")))]
        for path in ("b", "c"):
            try:
                made.append(texts(await s.client.sample(asked(), 2, site=s.site(path))))
            except BudgetExhausted as error:
                made.append(error.details)
        return made

    first, account = session(ScriptedClient(["x"] * 2), tmp_path, work, budget=Budget(calls=3))
    assert first == [["x", "x"], {"limit": "calls"}, {"limit": "calls"}]
    assert [event.key for event in lines(tmp_path, "budget")] == ["b#solver.0!", "c#solver.0!"]
    endpoint = ScriptedClient(["y"] * 9)
    again, replayed = session(endpoint, tmp_path, work, budget=Budget(calls=3))
    assert again == first and endpoint.requests == [] and account_of(replayed) == account_of(account)
    assert session(endpoint, tmp_path, work)[0] == first, "what was denied once stays denied in this run"


def test_nothing_is_sent_without_room_for_all_of_it(tmp_path: Path) -> None:
    endpoint = ScriptedClient(["x"] * 9, per_request=1)
    with pytest.raises(BudgetExhausted):
        session(endpoint, tmp_path, lambda s: s.client.sample(asked(), 4, site=s.site("a")), budget=Budget(calls=3))
    assert endpoint.requests == []


def test_labels_are_one_call_and_one_step_of_depth(tmp_path: Path) -> None:
    endpoint = ScriptedClient([], labels={"Yes": 0.9})

    async def work(s: Session) -> float:
        found = await s.client.label_probabilities(asked(), ("Yes", "No"), site=s.site("a", "judge"))
        return found.probabilities["Yes"]

    for number in range(2):
        value, account = session(endpoint, tmp_path, work, budget=Budget(calls=1, depth=1))
        assert value == 0.9 and len(endpoint.requests) == 1, number
        assert (account.spent_calls, account.depth, account.usage.calls) == (1, 1, 1)
    with pytest.raises(BudgetExhausted):
        session(endpoint, None, work, budget=Budget(calls=0))


def test_a_label_that_is_lost_half_way_is_still_paid_for(tmp_path: Path) -> None:
    top = {" correct": -0.9, " in": -0.9}

    async def work(s: Session) -> None:
        with pytest.raises(ModelError):
            request = asked(prefill="It is")
            await s.client.label_probabilities(request, ("correct", "incorrect"), site=s.site("a", "judge"))

    with FakeServer(lambda request, index: FakeReply(" correct", top=top), faults=[None, Fault(404)]) as server:
        _, account = session(Endpoint(base_url=server.url), tmp_path, work)
        assert server.requests == 2
    assert (account.spent_calls, account.usage.failed_calls) == (1, 1)
    assert account.usage.requests == 2 and account.usage.prompt_tokens > 0
    _, replayed = session(ScriptedClient([]), tmp_path, work)
    assert account_of(replayed) == account_of(account)


def test_the_time_limit_ends_calls_in_flight(tmp_path: Path) -> None:
    def work(s: Session) -> Awaitable[tuple[Reply, ...]]:
        return s.client.sample(asked(), 2, site=s.site("a"))

    with FakeServer(latency=5.0) as server:
        endpoint = Endpoint(base_url=server.url)

        async def probed(s: Session) -> None:
            await endpoint.profile()

        session(endpoint, None, probed)
        started = time.perf_counter()
        with pytest.raises(BudgetExhausted) as caught:
            session(endpoint, tmp_path, work, budget=Budget(seconds=0.2))
        assert time.perf_counter() - started < 2 and caught.value.details["limit"] == "seconds"
        end = time.perf_counter() + 3
        while not server.cancelled and time.perf_counter() < end:
            time.sleep(0.01)
        assert server.cancelled == 1
    silent = ScriptedClient([])
    with pytest.raises(BudgetExhausted):
        session(silent, tmp_path, work, budget=Budget(seconds=100))
    assert silent.requests == []


def test_what_came_in_time_is_kept(tmp_path: Path) -> None:
    class Uneven(ScriptedClient):
        async def complete(self, request: ChatRequest, n: int) -> Any:
            batch = await super().complete(request, n)
            await asyncio.sleep(0.0 if len(self.requests) == 1 else 5.0)
            return batch

    def work(s: Session) -> Awaitable[tuple[Reply, ...]]:
        return s.client.sample(asked(), 3, site=s.site("a"))

    endpoint = Uneven(["a", "b", "c"], per_request=1)
    replies, account = session(endpoint, tmp_path, work, budget=Budget(seconds=0.2))
    assert isinstance(replies[0], Completion) and all(isinstance(reply, ModelError) for reply in replies[1:])
    assert not any(isinstance(reply, BudgetExhausted) for reply in replies), "a reply is a completion or a ModelError"
    assert "budget" in str(replies[1]) and account.denied == "seconds"
    assert (account.usage.calls, account.usage.failed_calls) == (1, 2)
    again, replayed = session(ScriptedClient([]), tmp_path, work, budget=Budget(seconds=0.2))
    assert texts(again) == texts(replies) and account_of(replayed) == account_of(account)


def test_time_of_earlier_sessions_counts(tmp_path: Path) -> None:
    async def first(s: Session) -> None:
        await asyncio.sleep(0.25)
        await s.client.sample(asked(), 1, site=s.site("a"))

    async def second(s: Session) -> str:
        await s.client.sample(asked(), 1, site=s.site("a"))
        try:
            await s.client.sample(asked(), 1, site=s.site("b"))
        except BudgetExhausted as error:
            return str(error.details["limit"])
        return "went on"

    budget = Budget(seconds=0.2)
    session(ScriptedClient(["x"]), tmp_path, first)
    assert session(ScriptedClient(["y"]), tmp_path, second, budget=budget)[0] == "seconds"


def test_the_token_limit_stops_and_overshoots_by_the_calls_in_flight_at_most() -> None:
    endpoint = ScriptedClient(lambda request, index: "w " * 20, per_request=1)

    async def work(s: Session) -> int:
        async def one(number: int) -> bool:
            try:
                await s.client.sample(asked(), 1, site=s.site(str(number)))
            except BudgetExhausted as error:
                assert error.details["limit"] == "tokens"
                return False
            return True

        return sum([sum(await side_by_side([one(4 * turn + lane) for lane in range(4)])) for turn in range(10)])

    came, account = session(endpoint, None, work, budget=Budget(tokens=200))
    assert account.denied == "tokens" and came == len(endpoint.requests)
    per_call = account.usage.tokens / came
    assert 200 - 2 * per_call <= account.usage.tokens <= 200 + 4 * per_call


def test_a_cancelled_call_leaves_no_line_and_holds_nothing(tmp_path: Path) -> None:
    class Slow(ScriptedClient):
        async def complete(self, request: ChatRequest, n: int) -> Any:
            await asyncio.sleep(5)

    async def work(s: Session) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await s.client.sample(asked(), 3, site=s.site("a"))

    session(Slow([]), tmp_path, work)
    assert lines(tmp_path) == []
    replies, _ = session(ScriptedClient(["x"] * 3), tmp_path, lambda s: s.client.sample(asked(), 3, site=s.site("a")))
    assert texts(replies) == ["x"] * 3


def test_a_limit_of_seconds_holds_through_retries(tmp_path: Path) -> None:
    with FakeServer(faults=lambda request, number: Fault(429, retry_after=30)) as server:
        endpoint = Endpoint(base_url=server.url)
        started = time.perf_counter()
        with pytest.raises(BudgetExhausted):
            session(
                endpoint, tmp_path, lambda s: s.client.sample(asked(), 1, site=s.site("a")), budget=Budget(seconds=0.3)
            )
        assert time.perf_counter() - started < 3 and server.requests == 1


def test_no_secret_reaches_the_journal(tmp_path: Path) -> None:
    faults = [None, Fault(401), Fault(400), Fault(drop=True), Fault(429)]
    with FakeServer(faults=faults) as server:
        endpoint = Endpoint(base_url=server.url, api_key="sk-CANARY", retry=RetryRule(retries=0))

        async def work(s: Session) -> list[list[str]]:
            return [texts(await s.client.sample(asked(), 1, site=s.site(str(turn)))) for turn in range(5)]

        made, _ = session(endpoint, tmp_path, work)
    assert [row[0] for row in made[1:]] == ["Refused", "Refused", "ServerFailed", "RateLimited"]
    assert len(lines(tmp_path)) == 5
    assert b"CANARY" not in (tmp_path / FILE_NAME).read_bytes()
