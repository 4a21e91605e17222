"""Random faults under whole recipes: every run ends in a typed Result within its budget, and replays for nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from faulty_servers import faulty, faulty_rewards
from toy_documents import documents

import phronesis
from phronesis.agents.client import limiter
from phronesis.agents.scorers.table import SHIPPED as SCORERS
from phronesis.core.events import Event
from phronesis.core.http import close_pools
from phronesis.core.journal import FILE_NAME, read_events
from phronesis.core.named import NamedSpec
from phronesis.core.result import Result
from phronesis.core.settings import load_settings
from phronesis.graphs.registry import SHIPPED as STRATEGIES
from phronesis.graphs.run import Run
from phronesis.testing import FakeServer, Fault

SEEDS = 20
"""Of each entry in `make soak`; `make test` runs each entry once and each strategy five times at least."""
ERRORS = {"RateLimited", "ServerFailed", "TimedOut", "ContextOverflow", "MalformedReply", "Refused", "ModelError"}


HARD = {"knobs.k": 3, "knobs.rounds": 2, "knobs.max_tokens": 60, "knobs.quality_floor": 2.0, "knobs.confident": 1.0}
"""The gate sends every question on, so that reviews and refinements meet faults too."""
DOCUMENTS = {"two": "2 + 2 is two and two.", "four": "Two and two are four.", "cats": "Cats have four legs."}
OVERRIDES: dict[str, list[dict[str, object]]] = {
    "bats": [
        {"knobs.max_steps": 3, "knobs.early_stop": False},
        {"knobs.max_steps": 3, "knobs.early_stop": False, "budget.calls": 6},
        {"knobs.max_steps": 4, "knobs.summary_after": 1, "budget.tokens": 4000},
        {"knobs.max_steps": 3, "knobs.parallel_calls": 3, "budget.depth": 5},
    ],
    "best_of_n": [
        {"knobs.n": 5, "knobs.scorer": "self_certainty"},
        {"knobs.n": 4, "knobs.scorer": "judge"},
        {"knobs.n": 4, "knobs.scorer": "judge", "budget.calls": 6},
        {"knobs.n": 3, "knobs.scorer": "jury(jurors=2)", "budget.calls": 6},
        {"knobs.n": 2, "knobs.scorer": "rubric(each=true, votes=2)", "budget.calls": 9},
        {"knobs.n": 2, "knobs.scorer": "generated_rubric", "budget.tokens": 4000},
        {"knobs.n": 2, "knobs.scorer": 'rubric(read="probability")', "budget.calls": 7},
        {"knobs.n": 3, "knobs.scorer": "debate(rounds=2)", "budget.depth": 4},
        {"knobs.n": 2, "knobs.scorer": 'deep_verifier(checker="model")', "budget.calls": 8},
        {"knobs.n": 4, "knobs.scorer": "step_judge", "budget.tokens": 3000},
        {"knobs.n": 3, "knobs.scorer": 'spct_judge(k=3, meta="judge", think_more=1)', "budget.calls": 9},
    ],
    "deep_verifier": [
        {"knobs.rounds": 2},
        {"knobs.rounds": 1, "knobs.questions": "pick", "knobs.decide": "checks", "budget.calls": 9},
        {"knobs.rounds": 1, "knobs.decide": "expectation", "knobs.parallel": True, "budget.tokens": 4000},
        {
            "knobs.solver": "self_consistency",
            "knobs.solver_knobs": {"k": 2},
            "knobs.checker": "model",
            "budget.depth": 7,
        },
        {"knobs.rounds": 1, "knobs.reject_twice": True, "budget.seconds": 0.5},
    ],
    "direct": [{}],
    "drag": [
        {"knobs.k": 2},
        {"knobs.k": 2, "knobs.max_prompt_tokens": 60},
        {"knobs.k": 2, "budget.tools": {"search": 0}},
    ],
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
    "genrm": [
        {"knobs.solutions": 4, "knobs.verifications": 2},
        {"knobs.solutions": 4, "knobs.verifications": 2, "knobs.select": "weighted", "budget.calls": 7},
        {"knobs.solutions": 5, "knobs.verifications": 1, "knobs.reading": "hybrid", "knobs.top_groups": 2},
        {"knobs.solutions": 3, "knobs.verifications": 2, "budget.tokens": 2000},
    ],
    "iterdrag": [
        {"knobs.n": 3},
        {"knobs.n": 3, "knobs.form": "lines"},
        {"knobs.n": 4, "budget.calls": 5},
        {"knobs.n": 3, "knobs.max_input_tokens": 1500, "knobs.max_prompt_tokens": 400},
        {"knobs.n": 4, "budget.tokens": 1500, "budget.tools": {"search": 2}},
        {"knobs.n": 3, "knobs.form": "lines", "budget.depth": 4},
        {"knobs.n": 2, "budget.seconds": 0.05},
    ],
    "mixed_vote": [
        {"knobs.k": 3, "knobs.programs": 3},
        {"knobs.k": 2, "knobs.programs": 4, "budget.calls": 5},
        {"knobs.k": 2, "knobs.programs": 3, "knobs.scorer": "judge", "budget.tokens": 3000},
        {"knobs.k": 2, "knobs.programs": 2, "budget.seconds": 0.3},
    ],
    "rag": [
        {"knobs.k": 2},
        {"knobs.k": 0},
        {"knobs.k": 2, "budget.tools": {"search": 0}},
    ],
    "retry": [
        {"knobs.k": 2},
        {"knobs.k": 2, "knobs.scorer": "judge", "knobs.threshold": 0.9},
        {"knobs.k": 3, "knobs.scorer": "judge", "knobs.threshold": 1.0, "budget.calls": 6},
        {"knobs.k": 2, "knobs.scorer": "step_judge", "knobs.threshold": 1.0, "budget.tokens": 3000},
        {"knobs.k": 2, "knobs.scorer": "execution(programs=2)", "knobs.threshold": 1.0, "budget.depth": 3},
    ],
    "react": [
        {"knobs.max_steps": 4},
        {"knobs.max_steps": 5, "knobs.min_answers": 2, "budget.calls": 4},
        {"knobs.max_steps": 4, "knobs.temperature": 1.0, "knobs.summary_after": 1, "budget.tokens": 3000},
        {"knobs.max_steps": 4, "knobs.nudges": 2, "budget.depth": 3},
        {"knobs.max_steps": 3, "knobs.at_horizon": "none", "budget.seconds": 0.3},
    ],
    "self_consistency": [
        {"knobs.k": 6},
        {"knobs.k": 6, "budget.calls": 4},
        {"knobs.k": 6, "knobs.max_tokens": 40, "budget.tokens": 300},
        {"knobs.k": 6, "budget.seconds": 0.02},
    ],
    "self_refine": [
        {"knobs.rounds": 2},
        {"knobs.rounds": 3, "budget.calls": 4},
        {"budget.tokens": 900},
        {"budget.depth": 2},
    ],
    "sparc_rag": [
        {"knobs.depth": 2},
        {"knobs.depth": 2, "knobs.decider": "verdict", "budget.calls": 9},
        {"knobs.width": 3, "knobs.depth": 2, "budget.tools": {"search": 4}},
        {"knobs.depth": 3, "budget.depth": 7},
        {"knobs.depth": 2, "budget.tokens": 3000},
    ],
    "weighted_vote": [
        {"knobs.n": 4, "knobs.scorer": "judge"},
        {"knobs.n": 4, "knobs.scorer": "step_judge", "budget.calls": 9},
        {"knobs.n": 6, "knobs.scorer": "self_certainty", "knobs.scale": "min_max"},
        {"knobs.n": 3, "knobs.scorer": "generative(votes=1)", "budget.calls": 7},
        {"knobs.n": 4, "knobs.scorer": "pairwise"},
        {"knobs.n": 3, "knobs.scorer": "backward"},
        {"knobs.n": 3, "knobs.scorer": "execution(programs=2)", "budget.calls": 4},
        {"knobs.n": 3, "knobs.scorer": "combined"},
        {"knobs.n": 4, "knobs.scorer": "signals", "budget.depth": 1},
        {"knobs.n": 4, "knobs.scorer": "arithmetic"},
        {"knobs.n": 4, "knobs.scorer": "answer_certainty"},
        {"knobs.n": 3, "knobs.scorer": "reward_model(format='internlm2-reward')", "budget.calls": 5},
        {"knobs.n": 3, "knobs.scorer": "process_reward"},
    ],
    "magicore": [
        {"knobs.k": 3, "knobs.rounds": 2},
        HARD,
        {**HARD, "budget.calls": 8},
        {**HARD, "knobs.outcome": "judge", "budget.calls": 13},
        {**HARD, "budget.depth": 3},
        {**HARD, "budget.tokens": 3000},
        {**HARD, "knobs.outcome": "judge"},
        {**HARD, "budget.seconds": 0.05},
    ],
}


def of_make_test() -> list[tuple[str, int]]:
    return [(name, seed) for name in sorted(OVERRIDES) for seed in range(max(5, len(OVERRIDES[name])))]


def of_make_soak() -> list[tuple[str, int]]:
    """Each entry under twenty seeds, less what `make test` runs."""
    every = [(name, seed) for name in sorted(OVERRIDES) for seed in range(SEEDS * len(OVERRIDES[name]))]
    return [pair for pair in every if pair not in of_make_test()]


def test_every_strategy_and_scorer_has_an_entry() -> None:
    assert sorted(OVERRIDES) == sorted(STRATEGIES), "a new strategy needs an entry in OVERRIDES"
    entries = [entry for found in OVERRIDES.values() for entry in found]
    named = [str(entry[key]) for entry in entries for key in ("knobs.scorer", "knobs.outcome") if key in entry]
    assert {NamedSpec.parse(text, what="scorer").name for text in named} == set(SCORERS), (
        "a new scorer needs an entry in OVERRIDES"
    )


@pytest.fixture(autouse=True)
def fresh_limiters(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A port that comes back must not bring an earlier test's limit with it."""
    monkeypatch.setattr(limiter, "_LIMITERS", {})
    yield


class Unseen:
    """Is shown every call, so that single ones are streamed, and some streams cut in half."""

    def begin(self) -> bool:
        return True

    def restart(self) -> None: ...
    def piece(self, text: str, *, thinking: bool) -> None: ...
    def end(self) -> None: ...


async def solve(recipe: phronesis.Recipe, *, streamed: bool = False) -> Result:
    try:
        async with await Run.start(recipe, observer=Unseen() if streamed else None) as run:
            return await run.solve(phronesis.Task(messages="What is 2 + 2?", id="sum"))
    finally:
        await close_pools()


async def resume(run_id: str) -> Result:
    try:
        async with await Run.resume(run_id) as run:
            (task,) = run.tasks
            return await run.solve(task)
    finally:
        await close_pools()


def check(result: Result, limits: dict[str, object]) -> None:
    usage = result.usage
    assert result.status in ("ok", "failed")
    calls, depth = limits.get("budget.calls"), limits.get("budget.depth")
    assert not isinstance(calls, int) or usage.calls + usage.failed_calls <= calls
    assert not isinstance(depth, int) or result.depth <= depth
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


def check_tokens(result: Result, calls: list[Event], limit: object, in_flight: int) -> None:
    """Overshoot is at most the exchanges in flight."""
    if isinstance(limit, int):
        spent = [event.data["value"]["usage"] for event in calls]
        largest = sorted(item.get("prompt_tokens", 0) + item.get("completion_tokens", 0) for item in spent)[-in_flight:]
        assert result.usage.prompt_tokens + result.usage.completion_tokens <= limit + sum(largest)


def go_through(name: str, seed: int, monkeypatch: pytest.MonkeyPatch, **more: object) -> None:
    """``more``: keys of the recipe, ``verify__rounds`` for verify.rounds."""
    overrides = dict(OVERRIDES[name][seed % len(OVERRIDES[name])])
    overrides |= {key.replace("__", "."): value for key, value in more.items()}
    timed = "budget.seconds" in overrides
    monkeypatch.setenv("PHRONESIS_RETRIES", str(seed % 2))
    with faulty(seed) as server, faulty_rewards(seed) as rewards:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        if "reward" in str(overrides.get("knobs.scorer")):
            overrides["models.reward.base_url"] = rewards.url
        recipe = phronesis.Recipe.load(name, overrides={**overrides, "seed": seed})
        if recipe.strategy.retrieves(recipe.knobs):
            overrides["retrieval.kb"] = documents(DOCUMENTS)
            recipe = phronesis.Recipe.load(name, overrides={**overrides, "seed": seed})
        result = asyncio.run(solve(recipe, streamed=seed % 3 == 1))
        check(result, overrides)
        requests = server.requests + rewards.requests
        if not timed:
            assert result.usage.requests == requests, "every exchange is in the account, failed and repeated ones too"
        again = asyncio.run(resume(result.run_id))
        assert server.requests + rewards.requests == requests, "a replay asks nothing"
        assert again.comparable() == result.comparable()
    journal = load_settings().runs / result.run_id / FILE_NAME
    events = list(read_events(journal))
    assert [event.type for event in events].count("task_finished") == 1
    assert events[-1].type == "run_finished"
    calls = [event for event in events if event.type == "call"]
    assert sum(len(event.data["value"].get("completions", [0])) for event in calls) == result.usage.calls
    check_tokens(result, calls, overrides.get("budget.tokens"), max(1, server.peak))
    size = journal.stat().st_size
    third = asyncio.run(resume(result.run_id))
    assert third.comparable() == result.comparable(), "with the server gone too"
    assert journal.stat().st_size == size


@pytest.mark.parametrize(("name", "seed"), of_make_test())
def test_every_run_ends_in_a_result_and_replays_for_nothing(
    name: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_through(name, seed, monkeypatch)


@pytest.mark.soak
@pytest.mark.parametrize(("name", "seed"), of_make_soak())
def test_and_so_do_many_more(name: str, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    go_through(name, seed, monkeypatch)


def test_the_json_of_a_run_in_which_nothing_came_out_is_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = phronesis.Recipe.load("magicore", overrides={"knobs.k": 2})
    with FakeServer(faults=lambda request, number: Fault(404)) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        result = asyncio.run(solve(recipe))
    assert result.status == "failed"
    assert Result.model_validate_json(result.model_dump_json()) == result
