"""Random faults under whole recipes: every run ends in a typed Result within its budget, and replays for nothing."""

from __future__ import annotations

import asyncio
import hashlib
import random

import pytest

import phronesis
from phronesis.core.http import close_pools
from phronesis.core.journal import FILE_NAME, read_events
from phronesis.core.result import Result
from phronesis.core.settings import load_settings
from phronesis.graphs.run import Run
from phronesis.testing import FakeRequest, FakeServer, Fault

SEEDS = range(20)
ERRORS = {"RateLimited", "ServerFailed", "TimedOut", "ContextOverflow", "MalformedReply", "Refused", "ModelError"}
FAULTS = [
    Fault(429),
    Fault(429, retry_after=0.01),
    Fault(500),
    Fault(503, message="overloaded"),
    Fault(drop=True),
    Fault(body=b"<html>not json</html>"),
    Fault(body=b'{"choices": []}'),
    Fault(body=b'{"choices": [{"message": {}}]}'),
    Fault(400, message="maximum context length is 10 tokens"),
    Fault(404, message="no such model"),
]


def solver(request: FakeRequest, index: int) -> str:
    """Attempts that differ, some without an answer, some empty; reviews and refinements."""
    value = (request.fingerprint + index) % 9
    if "You are the reviewer" in request.user:
        return "" if value == 0 else f" Step 1 is doubtful ({value})."
    if value == 0:
        return ""
    if value == 1:
        return " I do not know.\nStep 2: Really not."
    return f" 2 + 2 = {2 + value % 4}.\nStep 2: So it is \\boxed{{{2 + value % 4}}}"


def server_of(seed: int) -> FakeServer:
    rng = random.Random(seed)
    rate = rng.choice([0.05, 0.2, 0.4, 0.6, 1.0])

    def draw(request: FakeRequest, what: str) -> random.Random:
        key = f"{seed}|{what}|{request.fingerprint}".encode()
        return random.Random(hashlib.blake2b(key, digest_size=8).digest())

    def fault(request: FakeRequest, number: int) -> Fault | None:
        dice = draw(request, f"fault {number % 3}")
        return dice.choice(FAULTS) if dice.random() < rate else None

    def late(request: FakeRequest) -> float:
        return draw(request, "late").random() * 0.01

    return FakeServer(solver, faults=fault, latency=late, max_n=128 if seed % 4 == 0 else 1)


HARD = {"knobs.k": 3, "knobs.rounds": 2, "knobs.max_tokens": 60, "knobs.quality_floor": 2.0, "knobs.confident": 1.0}
"""The gate sends every question on, so that reviews and refinements meet faults too."""
OVERRIDES: dict[str, list[dict[str, object]]] = {
    "best_of_n": [
        {"knobs.n": 5, "knobs.scorer": "self_certainty"},
        {"knobs.n": 4, "knobs.scorer": "judge"},
        {"knobs.n": 4, "knobs.scorer": "judge", "budget.calls": 6},
        {"knobs.n": 4, "knobs.scorer": "step_judge", "budget.tokens": 3000},
    ],
    "direct": [{}],
    "early_stop_vote": [
        {"knobs.first": 2, "knobs.batch": 2, "knobs.most": 8},
        {"knobs.first": 2, "knobs.batch": 3, "knobs.most": 9, "budget.calls": 7},
        {"knobs.rule": "share", "knobs.first": 2, "knobs.most": 8, "budget.depth": 2},
    ],
    "first_finish": [
        {"knobs.n": 4, "knobs.wait_for": 4},
        {"knobs.n": 4, "knobs.wait_for": 4, "budget.calls": 3},
        {"knobs.n": 3, "knobs.wait_for": 3, "knobs.max_tokens": 12},
    ],
    "mixed_vote": [
        {"knobs.k": 3, "knobs.programs": 3},
        {"knobs.k": 2, "knobs.programs": 4, "budget.calls": 5},
        {"knobs.k": 2, "knobs.programs": 3, "knobs.scorer": "judge", "budget.tokens": 3000},
    ],
    "self_consistency": [
        {"knobs.k": 6},
        {"knobs.k": 6, "budget.calls": 4},
        {"knobs.k": 6, "knobs.max_tokens": 40, "budget.tokens": 300},
    ],
    "self_refine": [{"knobs.rounds": 2}, {"knobs.rounds": 3, "budget.calls": 4}, {"budget.tokens": 900}],
    "weighted_vote": [
        {"knobs.n": 4, "knobs.scorer": "judge"},
        {"knobs.n": 4, "knobs.scorer": "step_judge", "budget.calls": 9},
        {"knobs.n": 6, "knobs.scorer": "self_certainty", "knobs.scale": "min_max"},
        {"knobs.n": 3, "knobs.scorer": "generative(votes=1)", "budget.calls": 7},
        {"knobs.n": 4, "knobs.scorer": "pairwise"},
        {"knobs.n": 3, "knobs.scorer": "backward"},
        {"knobs.n": 3, "knobs.scorer": "execution(programs=2)", "budget.calls": 4},
        {"knobs.n": 3, "knobs.scorer": "combined"},
    ],
    "magicore": [
        {"knobs.k": 3, "knobs.rounds": 2},
        HARD,
        {**HARD, "budget.calls": 8},
        {**HARD, "knobs.outcome": "judge", "budget.calls": 13},
        {**HARD, "budget.depth": 3},
        {**HARD, "budget.tokens": 3000},
        {**HARD, "knobs.outcome": "judge"},
    ],
}


async def solve(recipe: phronesis.Recipe) -> Result:
    try:
        return await recipe.arun(phronesis.Task(messages="What is 2 + 2?", id="sum"))
    finally:
        await close_pools()


async def resume(run_id: str) -> Result:
    try:
        async with await Run.resume(run_id) as run:
            (task,) = run.tasks
            return await run.solve(task)
    finally:
        await close_pools()


def check(result: Result, limit: int | None) -> None:
    usage = result.usage
    assert result.status in ("ok", "failed")
    assert limit is None or usage.calls + usage.failed_calls <= limit
    known = {candidate.id for candidate in result.candidates}
    for candidate in result.candidates:
        assert (candidate.error is not None) == (candidate.status == "failed")
        assert candidate.status != "failed" or (candidate.text == "" and candidate.answer is None)
        assert set(candidate.parents) <= known
    came_out = [item for item in result.candidates if item.status != "failed"]
    assert (result.status == "ok") == bool(came_out)
    if result.status == "failed":
        assert result.answer is None
        assert result.failures or result.stop_reason.startswith("budget:")
    readable = {item.answer for item in came_out if item.answer is not None}
    assert result.answer in (readable or {None})
    assert {failure.error for failure in result.failures} <= ERRORS | {"BudgetExhausted"}
    assert sum(role.calls for role in usage.by_role.values()) == usage.calls


@pytest.mark.parametrize("name", sorted(OVERRIDES))
@pytest.mark.parametrize("seed", SEEDS)
def test_every_run_ends_in_a_result_and_replays_for_nothing(
    name: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = OVERRIDES[name][seed % len(OVERRIDES[name])]
    recipe = phronesis.Recipe.load(name, overrides={**overrides, "seed": seed})
    limit = overrides.get("budget.calls")
    monkeypatch.setenv("PHRONESIS_RETRIES", str(seed % 2))
    with server_of(seed) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        result = asyncio.run(solve(recipe))
        check(result, limit if isinstance(limit, int) else None)
        requests = server.requests
        assert result.usage.requests == requests, "every exchange is in the account, failed and repeated ones too"
        again = asyncio.run(resume(result.run_id))
        assert server.requests == requests, "a replay asks nothing"
        assert again.comparable() == result.comparable()
    journal = load_settings().runs / result.run_id / FILE_NAME
    events = list(read_events(journal))
    assert [event.type for event in events].count("task_finished") == 1
    assert events[-1].type == "run_finished"
    calls = [event for event in events if event.type == "call"]
    assert sum(len(event.data["value"].get("completions", [0])) for event in calls) == result.usage.calls
    size = journal.stat().st_size
    third = asyncio.run(resume(result.run_id))
    assert third.comparable() == result.comparable(), "with the server gone too"
    assert journal.stat().st_size == size


def test_the_json_of_a_run_in_which_nothing_came_out_is_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = phronesis.Recipe.load("magicore", overrides={"knobs.k": 2})
    with FakeServer(faults=lambda request, number: Fault(404)) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        result = asyncio.run(solve(recipe))
    assert result.status == "failed"
    assert Result.model_validate_json(result.model_dump_json()) == result
