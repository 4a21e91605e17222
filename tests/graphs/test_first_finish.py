"""First finish: who wins, that losers are cancelled at the server, what is booked, and that a race stays as it was run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from scripted_roles import votes
from strategy_runs import (
    TASK,
    Said,
    boxed,
    cut_everywhere,
    eventually,
    go,
    journal_of,
    recipe_of,
    resume,
    solve,
    tried,
)

import phronesis
from phronesis.core.effects import Effects
from phronesis.core.errors import ConfigurationError, RecipeError
from phronesis.core.http import close_pools
from phronesis.core.journal import Journal
from phronesis.core.result import Result
from phronesis.core.seeds import derive
from phronesis.graphs.nodes.racing import Race
from phronesis.graphs.recipe import Recipe
from phronesis.graphs.run import Run
from phronesis.testing import FakeReply, FakeRequest, FakeServer, Fault

REFUSED = Fault(status=400, message="scripted refusal")
NEVER = 600.0
"""Seconds of a reply that nobody waits for."""
LANES = {derive(0, TASK.id, f"#solver.{lane}", 0): lane for lane in range(16)}
"""Which attempt a request is, by its seed."""


def lane_of(request: FakeRequest) -> int:
    return LANES[request.body["seed"]]


def by_lane(*replies: Said) -> Callable[[FakeRequest, int], Said]:
    return lambda request, index: replies[lane_of(request)]


def latency(*seconds: float) -> Callable[[FakeRequest], float]:
    return lambda request: seconds[lane_of(request)]


def race_of(result: Result) -> dict[str, Any]:
    return next(item for item in result.decisions if item["key"] == "race")


FOUR = [boxed(lane + 1, f"Lane {lane}.") for lane in range(4)]
CUT = "Let us see and see and see and see. \\boxed{9} and so on and on and on and on"
"""Longer than 12 tokens, with a marked answer within them."""


@pytest.mark.parametrize("winner", [0, 1, 3])
def test_the_first_wins_and_the_others_are_cancelled_at_the_server(winner: int) -> None:
    pauses = [0.5 if lane == winner else NEVER for lane in range(4)]
    with FakeServer(by_lane(*FOUR), latency=latency(*pauses)) as server:
        recipe = recipe_of("first_finish", server, n=4)
        result = solve(recipe)
        assert server.requests == 4 and server.calls == 1
        assert eventually(lambda: server.cancelled == 3), "the server was told to stop"
    assert (result.answer, result.stop_reason, result.status) == (str(winner + 1), "finished", "ok")
    losers = [f"c{lane}" for lane in range(4) if lane != winner]
    assert race_of(result)["winners"] == [f"c{winner}"]
    assert race_of(result)["cancelled"] == race_of(result)["tokens_unknown_of"] == losers
    assert [item.id for item in result.candidates] == [f"c{winner}"] and not result.failures
    law = recipe.strategy.cost(recipe.knobs)
    assert (law.calls_at(), law.depth_at()) == (tried(result), result.depth) == (4, 1)
    assert (result.usage.calls, result.usage.failed_calls, result.usage.requests) == (1, 3, 4)
    assert result.usage.completion_tokens == result.candidates[0].tokens


def test_what_is_cut_off_or_unreadable_never_wins() -> None:
    replies = [CUT, boxed("x"), FakeReply(""), boxed(4, "Late.")]
    with FakeServer(by_lane(*replies), latency=latency(0, 0, 0, 1.0)) as server:
        result = solve(recipe_of("first_finish", server, n=4, max_tokens=12))
    assert (result.answer, race_of(result)["winners"], race_of(result)["cancelled"]) == ("4", ["c3"], [])
    assert [item.answer for item in result.candidates] == ["9", None, None, "4"] and result.unparsable == 2


def test_a_failed_attempt_does_not_win() -> None:
    def faults(request: FakeRequest, number: int) -> Fault | None:
        return REFUSED if lane_of(request) == 0 else None

    with FakeServer(by_lane(*FOUR), latency=latency(0, 0.5, NEVER, NEVER), faults=faults) as server:
        result = solve(recipe_of("first_finish", server, n=4))
    assert (result.answer, [failure.error for failure in result.failures]) == ("2", ["Refused"])
    assert (result.usage.calls, result.usage.failed_calls, tried(result)) == (1, 3, 4)


def test_when_all_are_cut_off_the_readable_ones_vote() -> None:
    longer = CUT.replace("9", "8")
    with FakeServer(by_lane(CUT, longer, longer, "and " * 20)) as server:
        result = solve(recipe_of("first_finish", server, n=4, max_tokens=12))
    assert (result.answer, result.stop_reason, race_of(result)["winners"]) == ("8", "ended", [])
    assert votes(result)[0]["weights"] == {"9": 1.0, "8": 2.0}


def test_nothing_readable_is_no_answer() -> None:
    with FakeServer(by_lane(*["and " * 20] * 3)) as server:
        result = solve(recipe_of("first_finish", server, n=3, max_tokens=12))
    assert (result.answer, result.status, result.stop_reason, result.unparsable) == (None, "ok", "ended", 3)


def test_all_failing_is_a_failed_run() -> None:
    with FakeServer(by_lane(*FOUR), faults=lambda request, number: REFUSED) as server:
        result = solve(recipe_of("first_finish", server, n=3))
        again = resume(result.run_id)
        assert server.requests == 3
    assert (result.status, result.answer, result.stop_reason, tried(result)) == ("failed", None, "failed", 3)
    assert again.comparable() == result.comparable()


def test_a_race_that_nobody_finished_can_be_tried_again() -> None:
    broken = [True]
    with FakeServer(by_lane(*FOUR), faults=lambda request, number: REFUSED if broken else None) as server:
        result = solve(recipe_of("first_finish", server, n=3))
        broken.clear()
        again = resume(result.run_id, retry_failed=True)
        assert server.calls == 3
        third = resume(result.run_id)
        assert server.calls == 3
    assert (again.status, again.answer, again.stop_reason) == ("ok", "1", "finished")
    assert third.comparable() == again.comparable()


def test_the_majority_of_the_first_k() -> None:
    replies = [boxed(1), boxed(2), boxed(2), boxed(3)]
    with FakeServer(by_lane(*replies), latency=latency(0.3, 0, 0, NEVER)) as server:
        result = solve(recipe_of("first_finish", server, n=4, wait_for=3))
    assert (result.answer, race_of(result)["cancelled"], tried(result)) == ("2", ["c3"], 4)
    assert set(race_of(result)["winners"]) == {"c0", "c1", "c2"}


def test_fewer_winners_than_were_waited_for_vote_all_the_same() -> None:
    with FakeServer(by_lane(CUT, boxed(2), CUT)) as server:
        result = solve(recipe_of("first_finish", server, n=3, wait_for=2, max_tokens=12))
    assert (result.answer, result.stop_reason, votes(result)[0]["weights"]) == ("2", "ended", {"2": 1.0})


@pytest.mark.parametrize("pauses", [(0, 0, 0, 0), (0.3, 0.2, 0.1, 0), (0, 0.2, 0.1, 0.3)])
def test_waiting_for_all_is_a_plain_majority_whatever_the_order(pauses: tuple[float, ...]) -> None:
    replies = [boxed(1), boxed(2), boxed(2), boxed(1)]
    with FakeServer(by_lane(*replies), latency=latency(*pauses)) as server:
        result = solve(recipe_of("first_finish", server, n=4, wait_for=4))
    assert (result.answer, votes(result)[0]["chosen"], votes(result)[0]["weights"]) == ("1", "c0", {"1": 2.0, "2": 2.0})


@pytest.mark.parametrize("reply", [boxed(8), boxed("x")])
def test_one_attempt_is_direct_with_this_sampling(reply: str) -> None:
    with FakeServer(lambda request, index: reply) as server:
        alone = solve(recipe_of("first_finish", server, n=1))
        plain = solve(recipe_of("direct", server, temperature=0.7, top_p=0.95))
        assert server.seen[0].body == server.seen[1].body
    assert (alone.candidates, alone.answer) == (plain.candidates, plain.answer)


def test_the_request_is_that_of_self_consistency() -> None:
    with FakeServer(lambda request, index: boxed(1)) as server:
        solve(recipe_of("first_finish", server, n=1))
        solve(recipe_of("self_consistency", server, k=2))
        one, many = ({**request.body, "seed": 0, "n": 1} for request in server.seen)
    assert one == many


def test_budgets_of_every_size() -> None:
    for limit in range(6):
        pauses = [0.0] + [NEVER] * 3
        with FakeServer(by_lane(*FOUR), latency=latency(*pauses)) as server:
            result = solve(recipe_of("first_finish", server, n=4, budget__calls=limit))
            assert server.requests <= min(limit, 4), limit
        assert tried(result) == min(limit, 4), limit
        assert result.stop_reason == ("budget:calls" if limit < 4 else "finished"), limit
        assert (result.answer, result.status) == (("1", "ok") if limit else (None, "failed")), limit


@pytest.mark.parametrize("limit", ["depth", "seconds", "tokens"])
def test_nothing_allowed(limit: str) -> None:
    with FakeServer(by_lane(*FOUR)) as server:
        result = solve(recipe_of("first_finish", server, n=2, **{f"budget__{limit}": 0}))
        assert server.requests == 0
    assert (result.status, result.answer, result.stop_reason) == ("failed", None, f"budget:{limit}")


def test_when_the_time_is_up_every_attempt_is_cancelled() -> None:
    with FakeServer(by_lane(*FOUR), latency=NEVER) as server:
        result = solve(recipe_of("first_finish", server, n=3, budget__seconds=2.0))
        assert eventually(lambda: server.cancelled == server.requests == 3)
        again = resume(result.run_id)
        assert server.requests == 3
    assert (result.status, result.stop_reason, tried(result)) == ("failed", "budget:seconds", 3)
    assert again.comparable() == result.comparable()


def test_stopping_the_run_cancels_the_race_and_it_can_be_run_again() -> None:
    with FakeServer(by_lane(*FOUR), latency=NEVER) as server:

        async def stopped() -> str:
            async with await Run.start(recipe_of("first_finish", server, n=4)) as run:
                work = asyncio.create_task(run.solve(TASK))
                while server.requests < 4:
                    await asyncio.sleep(0.01)
                work.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await work
            await close_pools()
            return run.id

        run_id = asyncio.run(stopped())
        assert eventually(lambda: server.cancelled == 4)
        server.latency = latency(NEVER, NEVER, 0.0, NEVER)
        result = resume(run_id)
        assert server.calls == 1
    assert (result.answer, tried(result)) == ("3", 4)
    kinds = [event["type"] for event in journal_of(result)]
    assert kinds.count("call") == kinds.count("effect") == 1


def test_a_power_cut_after_every_line_costs_nothing_twice() -> None:
    with FakeServer(by_lane(*FOUR), latency=latency(NEVER, 0.0, NEVER, NEVER)) as server:
        result = cut_everywhere(recipe_of("first_finish", server, n=4), server)
    assert result.answer == "2"


def test_a_power_cut_where_all_are_waited_for_costs_nothing_twice() -> None:
    with FakeServer(by_lane(*FOUR, boxed("x"))) as server:
        result = cut_everywhere(recipe_of("first_finish", server, n=5, wait_for=5), server)
    assert (result.stop_reason, len(result.candidates)) == ("ended", 5)


def in_the_middle(result: Result, order: list[int]) -> None:
    """Makes the journal that of a run killed in its race after these attempts had come, in this order."""
    path = Path(result.journal)
    lines = path.read_bytes().splitlines(keepends=True)
    calls = {orjson.loads(line)["key"]: line for line in lines if orjson.loads(line)["type"] == "call"}
    start = next(number for number, line in enumerate(lines) if b'"task_started"' in line)
    path.write_bytes(b"".join([*lines[: start + 1], *(calls[f"#solver.{lane}[0:1]"] for lane in order)]))


@pytest.mark.parametrize(
    ("order", "wait_for", "winners", "cancelled"),
    [
        ([2, 0], 1, ["c2"], ["c0", "c1", "c3"]),
        ([3, 1, 0], 2, ["c3", "c1"], ["c0", "c2"]),
        ([0, 1, 2, 3], 2, ["c0", "c1"], ["c2", "c3"]),
    ],
)
def test_a_race_that_was_cut_short_honours_what_had_come_in_its_order(
    order: list[int], wait_for: int, winners: list[str], cancelled: list[str]
) -> None:
    """The whole run waited for all; its calls stand for those of a run that was killed before its race was decided."""
    with FakeServer(by_lane(*FOUR)) as server:
        whole = solve(recipe_of("first_finish", server, n=4, wait_for=4))
        asked = server.requests
        in_the_middle(whole, order)
        path = Path(whole.journal)
        path.write_bytes(path.read_bytes().replace(b'"wait_for":4', f'"wait_for":{wait_for}'.encode()))
        result = resume(whole.run_id)
        assert server.requests == asked, "who had come decides, nobody is asked again"
        again = resume(whole.run_id)
    assert (race_of(result)["winners"], race_of(result)["cancelled"]) == (winners, cancelled)
    assert tried(result) == 4 and result.depth == 1
    assert again.comparable() == result.comparable()


def test_a_race_that_was_cut_short_before_anybody_won_goes_on() -> None:
    with FakeServer(by_lane(boxed("x"), *FOUR[1:])) as server:
        whole = solve(recipe_of("first_finish", server, n=4, wait_for=4))
        in_the_middle(whole, [0])
        server.latency = latency(NEVER, NEVER, NEVER, 0.0)
        path = Path(whole.journal)
        path.write_bytes(path.read_bytes().replace(b'"wait_for":4', b'"wait_for":1'))
        calls = server.calls
        result = resume(whole.run_id)
        assert server.calls == calls + 1
    assert (result.answer, race_of(result)["winners"], tried(result)) == ("4", ["c3"], 4)


def test_the_race_is_journalled_before_anybody_is_cancelled_and_replays_for_nothing() -> None:
    with FakeServer(by_lane(*FOUR), latency=latency(NEVER, NEVER, 0.0, NEVER)) as server:
        result = solve(recipe_of("first_finish", server, n=4))
        events = journal_of(result)
        (race,) = [event for event in events if event["type"] == "effect"]
        assert race["value"] == {"finished": [2], "cancelled": [0, 1, 3]}
        server.stop()
    assert resume(result.run_id).comparable() == result.comparable()
    (replayed,) = go(phronesis.replay(result.run_id))
    assert replayed.comparable() == result.comparable()


def test_a_replay_of_other_samples_takes_the_shortest() -> None:
    lengths = [boxed(1, "a " * 9), boxed(2, "a"), boxed("x", ""), boxed(2, "a " * 5)]
    with FakeServer(lambda request, index: lengths[index]) as server:
        recorded = solve(recipe_of("self_consistency", server, k=4))
        found = {}
        for wait_for in (1, 2, 4):
            changed = {"knobs.n": 4, "knobs.wait_for": wait_for}
            (again,) = go(phronesis.replay(recorded.run_id, strategy="first_finish", overrides=changed))
            found[wait_for] = (again.answer, race_of(again)["winners"], race_of(again)["cancelled"])
            assert resume(again.run_id).comparable() == again.comparable()
        assert server.calls == 4
    assert found == {1: ("2", ["c1"], []), 2: ("2", ["c1", "c3"], []), 4: ("2", ["c1", "c3", "c0"], [])}


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"n": 2, "wait_for": 3}, "knobs.wait_for = 3: more than n = 2"),
        ({"wait_for": 0}, "knobs.wait_for"),
        ({"waits": 1}, "did you mean 'wait_for'"),
    ],
)
def test_what_a_recipe_may_not_say(knobs: dict[str, Any], message: str) -> None:
    data = {"schema": "phronesis/recipe/1", "name": "wrong", "strategy": "first_finish", "knobs": knobs}
    with pytest.raises(RecipeError) as caught:
        Recipe.from_data(data)
    assert message in str(caught.value)


class TestRace:
    """The race itself, without a server."""

    def hold(self, folder: Path, run: Any, **rules: Any) -> Any:
        async def work() -> Any:
            journal = Journal(folder)
            try:
                race = Race(lanes=3, run=run, wins=lambda value: value > 0, **rules)
                return await race.hold(Effects(journal, "t"), "race", {"lanes": 3})
            finally:
                journal.close()

        return asyncio.run(work())

    def test_an_error_cancels_every_lane_and_leaves_no_trace(self, tmp_path: Path) -> None:
        stopped: list[int] = []

        async def run(lane: int) -> int:
            if lane == 1:
                raise ConfigurationError("wrong from the start")
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                stopped.append(lane)
                raise
            return lane

        with pytest.raises(ConfigurationError, match="wrong from the start"):
            self.hold(tmp_path / "run", run)
        assert stopped == [0, 2]
        assert b'"race"' not in (tmp_path / "run" / "journal.jsonl").read_bytes()

    def test_lanes_that_end_at_once_are_all_kept_and_the_first_win(self, tmp_path: Path) -> None:
        async def run(lane: int) -> int:
            return lane

        end = self.hold(tmp_path / "run", run)
        assert (end.values, end.winners, end.cancelled) == ({0: 0, 1: 1, 2: 2}, (1,), ())
        again = self.hold(tmp_path / "run", run)
        assert again == end
