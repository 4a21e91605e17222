"""MAgICoRe as the specification has it: its ten invariants, its cost law, failures, budgets, determinism.

Every run goes through ``Recipe.run`` to a real HTTP server on loopback whose replies are functions of the request."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from scripted_roles import (
    Roles,
    answers,
    attempt,
    chain_of,
    chains,
    feedback,
    gates,
    magicore,
    observed,
    of_round,
    role_of,
    round_of,
    shown,
    tried,
    unreadable,
    verdict,
    votes,
)

from phronesis.core.result import Result
from phronesis.core.settings import load_settings
from phronesis.core.task import Task
from phronesis.graphs.calibration import Calibration
from phronesis.graphs.policies.reward import RewardStatistics
from phronesis.graphs.policies.voting import majority, weighted_vote
from phronesis.graphs.recipe import Recipe
from phronesis.graphs.refinement.magicore import paper
from phronesis.graphs.run import Run
from phronesis.testing import FakeReply, FakeRequest, FakeServer, Fault

Serve = Callable[..., FakeServer]
REFUSED = Fault(status=400, message="scripted refusal")
"""A fault that is not tried again."""


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Starts a server that answers as told and is the configured endpoint."""
    with ExitStack() as stack:

        def start(reply: Any, **options: Any) -> FakeServer:
            server = stack.enter_context(FakeServer(reply, **options))
            monkeypatch.setenv("OPENAI_BASE_URL", server.url)
            return server

        yield start


def check_law(recipe: Recipe, result: Result, server: FakeServer | None = None) -> None:
    """Calls, depth and the server's count are the cost law's, with what was observed put in."""
    law = recipe.strategy.cost(recipe.knobs)
    seen = observed(result)
    assert tried(result) == law.calls_at(**seen), f"calls: {law.calls} at {seen}, {result.usage}"
    assert result.depth == law.depth_at(**seen), f"depth: {law.depth} at {seen}"
    assert law.least[0] <= tried(result) <= law.most[0] and law.least[1] <= result.depth <= law.most[1]
    if server is not None:
        assert server.calls == result.usage.calls


def calibration() -> Calibration:
    return Calibration(load_settings().home / "statistics.sqlite3")


def calibrate(recipe: Recipe, rewards: list[float], server: FakeServer) -> None:
    """Fills the statistics that the recipe's runs read; the key is learned from a run."""
    recipe.run("Only to learn the key.")
    (family,) = calibration().read()
    calibration().path.unlink()
    calibration().commit("earlier", [(f"t{i}", {family: reward}) for i, reward in enumerate(rewards)])
    server.calls = server.requests = 0
    server.seen.clear()


class TestEasyQuestions:
    def test_agreement_costs_k_calls_and_nothing_else(self, serve: Serve) -> None:
        """Invariant 1."""
        roles = Roles(solver=chains(*[attempt(7, tag=f"chain{i}") for i in range(4)]))
        server = serve(roles)
        recipe = magicore()
        result = recipe.run("What?")
        assert (result.answer, result.stop_reason, result.status) == ("7", "easy", "ok")
        assert (result.usage.calls, result.depth, server.requests) == (4, 1, 1)
        assert roles.count("reviewer") == roles.count("refiner") == 0
        check_law(recipe, result, server)

    @pytest.mark.parametrize(("distinct", "stop"), [(2, "easy"), (3, "easy"), (4, "rounds")])
    def test_low_quality_is_refined_beyond_three_answers_only(self, serve: Serve, distinct: int, stop: str) -> None:
        """Invariant 2, with every answer drawn three times."""
        replies = [attempt(i % distinct, outcome=0.5, tag=f"chain{i}") for i in range(3 * distinct)]
        server = serve(Roles(solver=chains(*replies)))
        recipe = magicore(k=3 * distinct, rounds=1)
        result = recipe.run("What?")
        assert result.stop_reason == stop, gates(result)[0]
        assert not gates(result)[0]["quality_passes"]
        check_law(recipe, result, server)

    def test_high_quality_with_ten_answers_is_easy(self, serve: Serve) -> None:
        """Invariant 3: z >= 0 is enough, however far the answers are spread."""
        roles = Roles(solver=lambda request, index: attempt(10 + index, tag=f"chain{index}"))
        server = serve(roles)
        recipe = magicore(k=10)
        calibrate(recipe, [0.5, 0.7] * 5, server)
        roles.asked.clear()
        result = recipe.run("What?")
        (gate,) = gates(result)
        assert gate["normalised"] and gate["quality"] > 0 and gate["outcome_confidence"] < 0.5
        assert (result.stop_reason, server.calls, roles.count("reviewer")) == ("easy", 10, 0)

    def test_low_z_with_four_answers_is_hard(self, serve: Serve) -> None:
        server = serve(Roles())
        recipe = magicore(rounds=1, quality_floor=0.0)
        calibrate(recipe, [1.95, 1.97] * 5, server)
        result = recipe.run("What?")
        gate = gates(result)[0]
        assert gate["normalised"] and gate["quality"] < 0 and gate["hard"], gate
        assert result.stop_reason == "rounds"
        check_law(recipe, result, server)

    def test_too_few_statistics_leave_the_floor(self, serve: Serve) -> None:
        server = serve(Roles())
        recipe = magicore(rounds=1, quality_floor=1.0)
        calibrate(recipe, [1.95] * 7, server)
        gate = gates(recipe.run("What?"))[0]
        assert not gate["normalised"] and not gate["hard"], gate

    def test_weights_overturn_the_majority(self, serve: Serve) -> None:
        """Invariant 7: two chains of r = 1.9 beat three of r = 0.5."""
        good, poor = {"outcome": 0.93}, {"outcome": 0.4, "right": False}
        serve(Roles(solver=chains(*[attempt(1, **poor)] * 3, *[attempt(2, **good)] * 2)))
        result = magicore(k=5, rounds=0).run("What?")
        assert [round(item.reward or 0, 2) for item in result.candidates] == [0.5, 0.5, 0.5, 1.9, 1.9]
        assert majority(answers(result.candidates)).winner == "1"
        assert result.answer == "2"

    def test_equal_rewards_tie_to_the_chain_seen_first(self, serve: Serve) -> None:
        """Invariant 8."""
        serve(Roles(solver=chains(attempt(4), attempt(3), attempt(3), attempt(4))))
        result = magicore().run("What?")
        assert (result.answer, votes(result)[-1]["chosen"]) == ("4", "c0")

    def test_equal_values_spelled_differently_vote_and_gate_together(self, serve: Serve) -> None:
        """Pitfall 5: 1/2 and 0.5 split neither the vote nor the entropy."""
        spelled = [r"\frac{1}{2}", "0.5", "1/2", "0.50", "3", "4", "5", "6"]
        serve(Roles(solver=chains(*[attempt(text) for text in spelled])))
        result = magicore(k=8, rounds=0).run("What?")
        assert result.answer == "0.5"
        assert len(votes(result)[0]["weights"]) == 5, votes(result)[0]["weights"]
        assert gates(result)[0]["outcome_confidence"] == pytest.approx(
            2 / (1 + math.exp(-(0.5 * math.log(0.5) + 4 * 0.125 * math.log(0.125))))
        )


class TestReductions:
    def test_without_rounds_it_is_the_weighted_vote(self, serve: Serve) -> None:
        roles = Roles(solver=lambda request, index: attempt(index % 5, outcome=0.3 + 0.08 * ((7 * index) % 8)))
        server = serve(roles)
        recipe = magicore(k=8, rounds=0)
        result = recipe.run("What?")
        rewards = [item.reward or 0.0 for item in result.candidates]
        assert result.answer == weighted_vote(answers(result.candidates), rewards).winner
        assert (server.calls, result.depth, len(gates(result))) == (8, 1, 1)
        check_law(recipe, result, server)

    def test_one_chain_without_rounds_is_one_attempt(self, serve: Serve) -> None:
        server = serve(Roles(solver=chains(attempt(42))))
        recipe = magicore(k=1, rounds=0)
        result = recipe.run("What?")
        assert (result.answer, server.calls, server.requests, result.depth) == ("42", 1, 1, 1)
        assert result.answer_text == result.candidates[0].text
        check_law(recipe, result, server)

    def test_paper_gives_the_published_settings(self) -> None:
        knobs = paper()
        assert (knobs.k, knobs.rounds, knobs.temperature, knobs.top_p) == (40, 3, 0.8, 0.95)
        assert (knobs.max_tokens, knobs.review_tokens, knobs.confident) == (1000, 1000, 0.5)
        assert (knobs.step_reduce, knobs.pool, knobs.majority_mode) == ("prod", "round", "frozen")

    def test_the_shipped_recipe_runs(self, serve: Serve) -> None:
        server = serve(Roles())
        recipe = Recipe.load("magicore", overrides={"knobs.k": 4, "knobs.rounds": 1, "knobs.quality_floor": 2.0})
        result = recipe.run("What?")
        assert result.stop_reason == "rounds"
        check_law(recipe, result, server)


class TestHardQuestions:
    @pytest.mark.parametrize("rounds", [1, 2, 3])
    def test_k_plus_2kr_calls_and_1_plus_2r_depth(self, serve: Serve, rounds: int) -> None:
        """Invariants 4 and 5: R never exceeds T."""
        roles = Roles()
        server = serve(roles)
        recipe = magicore(rounds=rounds)
        result = recipe.run("What?")
        assert (result.usage.calls, result.depth) == (4 + 2 * 4 * rounds, 1 + 2 * rounds)
        assert roles.count("reviewer") == roles.count("refiner") == 4 * rounds
        assert (result.stop_reason, observed(result)["R"]) == ("rounds", rounds)
        assert [gate["hard"] for gate in gates(result)] == [True] * (rounds + 1)
        check_law(recipe, result, server)

    def test_stops_at_the_first_round_whose_gate_passes(self, serve: Serve) -> None:
        """Invariant 5."""
        roles = Roles(
            refined=lambda chain, number: attempt(
                9 if number == 2 else 100 + chain, outcome=0.5 + 0.1 * number, tag=f"chain{chain} round{number}"
            )
        )
        server = serve(roles)
        recipe = magicore(rounds=5)
        result = recipe.run("What?")
        assert (result.stop_reason, observed(result)["R"], result.answer) == ("converged", 2, "9")
        assert [gate["hard"] for gate in gates(result)] == [True, True, False]
        check_law(recipe, result, server)

    def test_the_gate_of_a_round_reads_that_rounds_chains_only(self, serve: Serve) -> None:
        """Invariant 5: the refined chains agree, the better-scored originals of the pool do not."""
        serve(Roles(refined=lambda chain, number: attempt(9, outcome=0.2, right=False, tag=f"chain{chain} round1")))
        result = magicore().run("What?")
        assert votes(result)[1]["pool"] == ["c0", "c1", "c2", "c3"], "the originals are the best four"
        assert gates(result)[1]["outcome_confidence"] == 1.0
        assert (result.stop_reason, result.answer) == ("converged", "10")

    @pytest.mark.parametrize("pool", ["running", "round"])
    def test_the_pool_never_holds_more_than_k(self, serve: Serve, pool: str) -> None:
        """Invariant 6."""
        serve(Roles())
        result = magicore(pool=pool).run("What?")
        assert [len(vote["pool"]) for vote in votes(result)] == [4, 4, 4]
        known = {item.id: item for item in result.candidates}
        for vote in votes(result):
            rewards = [known[id].reward or 0.0 for id in vote["pool"]]
            assert rewards == sorted(rewards, reverse=True), vote

    def test_the_best_of_old_and_new_chains_vote(self, serve: Serve) -> None:
        """Invariant 6: of 2k chains the k best stay."""
        outcome = {10: 0.9, 11: 0.3, 12: 0.85, 13: 0.2}
        roles = Roles(
            solver=lambda request, index: attempt(10 + index, outcome=outcome[10 + index], tag=f"chain{index}"),
            refined=lambda chain, number: attempt(20 + chain, outcome=0.5 + 0.1 * chain, tag=f"chain{chain} round1"),
        )
        serve(roles)
        result = magicore(rounds=1).run("What?")
        assert votes(result)[-1]["pool"] == ["c0", "c2", "c3.r1", "c2.r1"]
        assert result.answer == "10"

    def test_every_review_shows_every_step_with_its_tenths(self, serve: Serve) -> None:
        """Invariant 4."""
        text = " chain{}: 1 + 1 = 2.\nStep 2: 2 + 2 = 5.\nStep 3: So be it.\nThe answer is \\boxed{{{}}}."
        roles = Roles(solver=lambda request, index: text.format(index, index))
        serve(roles)
        result = magicore(rounds=1).run("What?")
        assert result.candidates[0].step_scores == (0.97, 0.1, 0.9)
        for role in ("reviewer", "refiner"):
            assert sorted(map(chain_of, roles.asked[role])) == [0, 1, 2, 3]
            for request in roles.asked[role]:
                index = chain_of(request)
                assert f"Step 1: chain{index}: 1 + 1 = 2. (Score: 10/10)" in shown(request)
                assert "Step 2: 2 + 2 = 5. (Score: 1/10)" in shown(request)
                assert f"The answer is \\boxed{{{index}}}. (Score: 9/10)" in shown(request)
                assert shown(request).count("/10)") == 3

    def test_more_than_nine_steps_stay_apart(self, serve: Serve) -> None:
        """Pitfall 4."""
        steps = [f"Step {i}: {i} + 1 = {i + 1 if i != 11 else 0}." for i in range(2, 13)]
        body = "\n".join(["chain{0}: 1 + 1 = 2.", *steps, "The answer is \\boxed{{{0}}}."])
        roles = Roles(solver=lambda request, index: " " + body.format(index))
        serve(roles)
        result = magicore(rounds=1).run("What?")
        assert [len(item.steps) for item in of_round(result, 0)] == [12] * 4
        for request in roles.asked["reviewer"]:
            assert shown(request).count("(Score: ") == 12
            assert "Step 11: 11 + 1 = 0. (Score: 1/10)\nStep 12: 12 + 1 = 13." in shown(request)

    def test_each_refiner_gets_the_feedback_on_its_own_chain(self, serve: Serve) -> None:
        """Invariant 4."""
        roles = Roles()
        serve(roles)
        result = magicore().run("What?")
        assert len(roles.asked["refiner"]) == 8
        for request in roles.asked["refiner"]:
            index = chain_of(request)
            assert feedback(index).strip() in shown(request)
            assert sum(f"Feedback number {i}" in shown(request) for i in range(4)) == 1
        for item in result.candidates:
            if item.round:
                assert feedback(int(item.id[1])).strip() in item.notes

    def test_reviewers_see_no_feedback_and_no_refiner_the_choice_letters(self, serve: Serve) -> None:
        roles = Roles()
        serve(roles)
        magicore().run("What?")
        assert all("Feedback number" not in shown(request) for request in roles.asked["reviewer"])
        assert all("number" in request.user for request in roles.asked["refiner"])

    def test_round_n_refines_the_chains_of_round_n_minus_1(self, serve: Serve) -> None:
        roles = Roles()
        serve(roles)
        result = magicore().run("What?")
        assert sorted(map(round_of, roles.asked["refiner"])) == [0] * 4 + [1] * 4
        assert [item.parents for item in of_round(result, 1)] == [(f"c{i}",) for i in range(4)]
        assert [item.parents for item in of_round(result, 2)] == [(f"c{i}.r1",) for i in range(4)]


class TestDifferencesFromThePaper:
    """Pools and majorities: ours and, by knob, the paper's."""

    @pytest.mark.parametrize(("pool", "answer"), [("running", "10"), ("round", "200")])
    def test_a_good_original_survives_in_the_running_pool_only(self, serve: Serve, pool: str, answer: str) -> None:
        def refined(chain: int, number: int) -> FakeReply:
            value = 10 if (chain, number) == (0, 1) else 100 * number + chain
            return attempt(value, outcome=0.2 + 0.1 * number, tag=f"chain{chain} round{number}")

        roles = Roles(
            solver=lambda request, index: attempt(10 + index, outcome=0.4 if index else 0.95, tag=f"chain{index}"),
            refined=refined,
        )
        serve(roles)
        result = magicore(pool=pool).run("What?")
        assert (result.answer, observed(result)["R"]) == (answer, 2), votes(result)

    def test_a_winner_from_an_earlier_round_does_not_end_the_refinement(self, serve: Serve) -> None:
        """Invariant 5: the gate reads round-n chains only; four poor chains that disagree are hard.

        The pool's winner is an original that no new chain repeats: judging by it would pass for want of chains, the
        very case (pitfalls) that ``majority_mode = current`` is there to end."""
        poor = {"outcome": 0.2, "right": False}
        serve(
            Roles(
                refined=lambda chain, number: attempt(100 * number + chain, **poor, tag=f"chain{chain} round{number}")
            )
        )
        result = magicore(majority_mode="current").run("What?")
        assert [gate["hard"] for gate in gates(result)] == [True, True, True], gates(result)[1]
        assert (result.stop_reason, result.answer) == ("rounds", "10")

    def test_the_pool_of_a_round_holds_two_rounds(self, serve: Serve) -> None:
        """The paper's: after one round the originals still vote."""
        serve(Roles(refined=lambda chain, number: attempt(100 + chain, outcome=0.2, tag=f"chain{chain} round{number}")))
        result = magicore(pool="round", rounds=1).run("What?")
        assert votes(result)[-1]["pool"] == ["c0", "c1", "c2", "c3"]

    @pytest.mark.parametrize(("mode", "stop", "rounds"), [("frozen", "converged", 1), ("current", "rounds", 2)])
    def test_a_frozen_majority_passes_when_no_chain_holds_it_any_more(
        self, serve: Serve, mode: str, stop: str, rounds: int
    ) -> None:
        roles = Roles(
            solver=lambda request, index: attempt(10 + index, outcome=0.3, tag=f"chain{index}"),
        )
        serve(roles)
        result = magicore(majority_mode=mode).run("What?")
        assert (result.stop_reason, observed(result)["R"]) == (stop, rounds), gates(result)
        judged = gates(result)[1]
        assert judged["majority"] == ("10" if mode == "frozen" else "100")
        assert (judged["quality"] is None) == (mode == "frozen")

    def test_the_frozen_majority_counts_heads_not_rewards(self, serve: Serve) -> None:
        """Of round 0: the most frequent answer, ties to the first seen, whatever the rewards."""
        replies = [attempt(1, outcome=0.2, right=False)] * 2 + [attempt(2, outcome=0.95)]
        serve(Roles(solver=chains(*replies)))
        result = magicore(k=3, majority_mode="frozen").run("What?")
        assert gates(result)[0]["majority"] == "1" and result.answer == "2"


class TestJudge:
    """J = 1: the outcome scorer calls the model once for every chain."""

    @pytest.mark.parametrize("rounds", [0, 1, 2])
    def test_the_law_with_a_judge(self, serve: Serve, rounds: int) -> None:
        roles = Roles()
        server = serve(roles)
        recipe = magicore(outcome="judge", rounds=rounds)
        result = recipe.run("What?")
        calls = 4 + 2 * 4 * rounds + (4 + 4 * rounds)
        assert (result.usage.calls, result.depth) == (calls, 1 + 2 * rounds + 1 + rounds)
        assert roles.count("judge") == result.usage.by_role["judge"].calls == 4 * (1 + rounds)
        check_law(recipe, result, server)

    def test_the_outcome_is_the_probability_of_yes(self, serve: Serve) -> None:
        p = {"10": 0.9, "11": 0.2, "12": 0.5, "13": 0.7}
        roles = Roles(judge=lambda request, index: verdict(next(p[a] for a in p if f"\\boxed{{{a}}}" in request.user)))
        serve(roles)
        result = magicore(outcome="judge", rounds=0).run("What?")
        assert [item.outcome for item in result.candidates] == pytest.approx([p[str(10 + i)] for i in range(4)])
        assert [item.reward for item in result.candidates] == pytest.approx([p[str(10 + i)] + 0.97 for i in range(4)])
        assert result.answer == "10"

    def test_a_judge_sees_one_chain_at_a_time(self, serve: Serve) -> None:
        roles = Roles()
        serve(roles)
        magicore(outcome="judge", rounds=0).run("What?")
        assert [sum(f"chain{i}" in request.text for i in range(4)) for request in roles.asked["judge"]] == [1] * 4

    def test_an_unreadable_chain_is_judged_with_steps_at_0(self, serve: Serve) -> None:
        """The specification: an unparsed answer gets prm = [0] and still an outcome score."""
        roles = Roles(solver=chains(attempt(1, tag="chain0"), unreadable("chain1")))
        serve(roles)
        result = magicore(outcome="judge", k=2, rounds=0).run("What?")
        assert roles.count("judge") == 2
        assert (result.candidates[1].step_scores, result.candidates[1].outcome) == ((0.0,), pytest.approx(0.5))

    def test_a_failed_judgement_leaves_the_other_chains(self, serve: Serve) -> None:
        def faults(request: FakeRequest, number: int) -> Fault | None:
            return REFUSED if role_of(request) == "judge" and "chain2:" in request.text else None

        recipe = magicore(outcome="judge", rounds=0)
        server = serve(Roles(), faults=faults)
        result = recipe.run("What?")
        assert [item.reward is None for item in result.candidates] == [False, False, True, False]
        assert [failure.error for failure in result.failures] == ["Refused"]
        assert (result.answer, result.usage.failed_calls) == ("10", 1)
        check_law(recipe, result, server)

    def test_without_any_score_the_answer_is_the_majority(self, serve: Serve) -> None:
        """The budget ends before the first judgement: the best so far is the majority, not whichever chain came first."""
        serve(Roles(solver=chains(attempt(1), attempt(2), attempt(2), attempt(2))))
        result = magicore(outcome="judge", budget_calls=4).run("What?")
        assert (result.answer, result.stop_reason) == ("2", "budget:calls"), votes(result)


class TestFailures:
    @pytest.mark.parametrize("role", ["reviewer", "refiner"])
    def test_one_lost_chain_leaves_the_others(self, serve: Serve, role: str) -> None:
        def faults(request: FakeRequest, number: int) -> Fault | None:
            return REFUSED if role_of(request) == role and chain_of(request) == 1 else None

        roles = Roles()
        server = serve(roles, faults=faults)
        recipe = magicore(rounds=1)
        result = recipe.run("What?")
        assert [item.status for item in of_round(result, 1)] == ["ok", "failed", "ok", "ok"]
        lost = of_round(result, 1)[1]
        assert (lost.answer, lost.text, lost.parents) == (None, "", ("c1",))
        assert lost.error is not None and lost.error.error == "Refused" and role in lost.error.where
        assert [failure.where for failure in result.failures] == [lost.error.where]
        assert (result.status, result.stop_reason) == ("ok", "rounds")
        assert result.usage.failed_calls == 1 and server.calls == result.usage.calls
        if role == "reviewer":
            assert sorted(map(chain_of, roles.asked["refiner"])) == [0, 2, 3]

    def test_a_chain_whose_refinement_failed_is_tried_again_as_it_was(self, serve: Serve) -> None:
        refused: list[int] = []

        def faults(request: FakeRequest, number: int) -> Fault | None:
            if role_of(request) != "refiner" or chain_of(request) != 1 or refused:
                return None
            refused.append(number)
            return REFUSED

        roles = Roles()
        serve(roles, faults=faults)
        result = magicore(rounds=2).run("What?")
        assert of_round(result, 1)[1].status == "failed"
        assert [item.parents for item in of_round(result, 2)] == [("c0.r1",), ("c1",), ("c2.r1",), ("c3.r1",)]

    def test_all_reviews_failing_keeps_the_answer(self, serve: Serve) -> None:
        server = serve(Roles(), faults=lambda request, number: REFUSED if role_of(request) == "reviewer" else None)
        result = magicore(rounds=2).run("What?")
        assert (result.answer, result.status) == ("10", "ok")
        assert server.calls == result.usage.calls == 4
        assert len(result.failures) == result.usage.failed_calls == 8

    @pytest.mark.parametrize("text", ["", "   "])
    def test_an_empty_review_is_a_failed_review(self, serve: Serve, text: str) -> None:
        roles = Roles(reviewer=lambda request, index: text if chain_of(request) == 2 else feedback(chain_of(request)))
        serve(roles)
        result = magicore(rounds=1).run("What?")
        assert [failure.error for failure in result.failures] == ["MalformedReply"]
        assert of_round(result, 1)[2].status == "failed" and roles.count("refiner") == 3

    def test_all_samples_failing_is_a_typed_failure(self, serve: Serve) -> None:
        server = serve(Roles(), faults=lambda request, number: REFUSED)
        result = magicore().run("What?")
        assert (result.status, result.answer, result.answer_text, result.stop_reason) == ("failed", None, "", "failed")
        assert [failure.error for failure in result.failures] == ["Refused"] * 4
        assert (server.calls, server.requests, result.usage.calls, result.usage.failed_calls) == (0, 1, 0, 4)
        assert all(item.status == "failed" and item.answer is None for item in result.candidates)

    @pytest.mark.parametrize("fault", [Fault(status=500), Fault(body=b"not json"), Fault(drop=True)])
    def test_no_kind_of_failure_becomes_an_answer(
        self, serve: Serve, monkeypatch: pytest.MonkeyPatch, fault: Fault
    ) -> None:
        monkeypatch.setenv("PHRONESIS_RETRIES", "0")
        serve(Roles(), faults=lambda request, number: fault)
        result = magicore().run("What?")
        assert (result.status, result.answer, result.stop_reason) == ("failed", None, "failed")
        assert {failure.error for failure in result.failures} == {"ServerFailed"}

    def test_one_lost_sample_leaves_three(self, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
        """A server that takes one choice per request, so that samples fail one by one."""
        recipe = magicore(rounds=1)
        by_seed = Roles(solver=lambda request, index: attempt(request.body["seed"], tag="chain0"))
        serve(by_seed, max_n=1)
        seeds = [int(item.answer or 0) for item in of_round(recipe.run("What?"), 0)]
        assert len(set(seeds)) == 4, "every sample has a seed of its own"
        calibration().path.unlink()
        roles = Roles(
            solver=lambda request, index: attempt(
                *[10 + seeds.index(request.body["seed"])], tag=f"chain{seeds.index(request.body['seed'])}"
            )
        )
        server = serve(
            roles, max_n=1, faults=lambda request, number: REFUSED if request.body["seed"] == seeds[0] else None
        )
        result = recipe.run("What?")
        assert [item.status for item in of_round(result, 0)] == ["failed", "ok", "ok", "ok"]
        assert (result.answer, result.stop_reason) == ("11", "easy")
        assert observed(result)["s"] == 3
        check_law(recipe, result, server)
        assert calibration().read() == {}, "the first chain failed: another one must not stand in for it"

    def test_unreadable_replies_are_counted_and_never_vote(self, serve: Serve) -> None:
        sure = FakeReply(" who knows.\nThe answer is \\boxed{unknown}.", logprob=-0.001)
        serve(Roles(solver=chains(sure, attempt(5, outcome=0.1, right=False), sure, FakeReply(""))))
        result = magicore(rounds=0).run("What?")
        assert (result.answer, result.unparsable) == ("5", 3)
        assert [item.status for item in result.candidates] == ["unparsable", "ok", "unparsable", "unparsable"]
        assert list(votes(result)[0]["weights"]) == ["5"]

    def test_nothing_readable_is_refined_and_gives_no_answer(self, serve: Serve) -> None:
        roles = Roles(
            solver=lambda request, index: unreadable(f"chain{index}"),
            refined=lambda chain, number: unreadable(f"chain{chain} round{number}"),
        )
        server = serve(roles)
        recipe = magicore(rounds=1)
        result = recipe.run("What?")
        assert (result.answer, result.status, result.unparsable, result.stop_reason) == (None, "ok", 8, "rounds")
        check_law(recipe, result, server)

    def test_the_number_of_a_step_is_no_answer(self, serve: Serve) -> None:
        """A reply without any number votes for nothing, though every step has one in its heading."""
        serve(Roles(solver=lambda request, index: " I do not know.\nStep 2: Nobody knows."))
        result = magicore(rounds=0).run("What?")
        assert (result.answer, result.unparsable) == (None, 4), result.candidates[0]

    def test_refinement_can_make_unreadable_chains_readable(self, serve: Serve) -> None:
        roles = Roles(
            solver=lambda request, index: unreadable(f"chain{index}"),
            refined=lambda chain, number: attempt(6, tag=f"chain{chain} round{number}"),
        )
        serve(roles)
        result = magicore().run("What?")
        assert (result.answer, result.stop_reason, result.unparsable) == ("6", "converged", 4)

    def test_an_unreadable_refinement_does_not_vote(self, serve: Serve) -> None:
        serve(Roles(refined=lambda chain, number: unreadable(f"chain{chain} round{number}")))
        result = magicore(rounds=1).run("What?")
        assert (result.answer, result.unparsable) == ("10", 4)


class TestBudgets:
    @pytest.mark.parametrize(("outcome", "most"), [("self_certainty", 20), ("judge", 32)])
    def test_calls_of_every_size(self, serve: Serve, outcome: str, most: int) -> None:
        """k = 4, T = 2, always hard: never more calls than allowed, a best-so-far answer, the same result twice."""
        server = serve(Roles(), latency=lambda request: (request.fingerprint % 5) / 2000)
        free = magicore(outcome=outcome, calibration="frozen").run("What?")
        assert (
            free.usage.calls == most == magicore(outcome=outcome).strategy.cost(magicore(outcome=outcome).knobs).most[0]
        )
        for budget in range(most + 2):
            recipe = magicore(outcome=outcome, calibration="frozen", budget_calls=budget)
            server.calls = 0
            result = recipe.run("What?")
            sent, server.calls = server.calls, 0
            again = recipe.run("What?")
            about = f"budget of {budget} calls: {result.stop_reason}, {result.usage}"
            assert sent == result.usage.calls <= budget, about
            assert result.comparable() == again.comparable(), about
            assert result.stop_reason == ("rounds" if budget >= most else "budget:calls"), about
            if budget == 0:
                assert (result.status, result.answer, result.candidates) == ("failed", None, ()), about
            else:
                assert result.status == "ok" and result.answer in answers(result.candidates), about
                assert len(of_round(result, 0)) == min(budget, 4), about
            if budget >= most:
                assert result.comparable() == free.comparable(), about

    def test_whole_chains_are_refined_in_index_order(self, serve: Serve) -> None:
        """4 samples leave 5 calls: two chains of 2 calls each, and one call that no chain can use."""
        serve(Roles())
        result = magicore(budget_calls=9, rounds=1).run("What?")
        assert [item.id for item in of_round(result, 1)] == ["c0.r1", "c1.r1"]
        assert (result.usage.calls, result.stop_reason) == (8, "budget:calls")

    def test_a_budget_that_suffices_is_no_reason_to_stop(self, serve: Serve) -> None:
        serve(Roles(refined=lambda chain, number: attempt(9, tag=f"chain{chain} round{number}")))
        assert magicore(budget_calls=12).run("What?").stop_reason == "converged"
        serve(Roles(solver=lambda request, index: attempt(7)))
        assert magicore(budget_calls=4).run("What?").stop_reason == "easy"

    @pytest.mark.parametrize("depth", range(7))
    def test_depth(self, serve: Serve, depth: int) -> None:
        server = serve(Roles())
        recipe = magicore(calibration="frozen", budget_depth=depth)
        result = recipe.run("What?")
        assert result.depth <= depth and server.calls == result.usage.calls
        assert result.stop_reason == ("rounds" if depth >= 5 else "budget:depth")
        assert (result.answer is None) == (depth == 0)
        assert result.comparable() == recipe.run("What?").comparable()

    @pytest.mark.parametrize("limit", ["tokens", "seconds"])
    def test_nothing_allowed_is_a_failed_result(self, serve: Serve, limit: str) -> None:
        server = serve(Roles())
        result = magicore(**{f"budget_{limit}": 0}).run("What?")
        assert (result.status, result.answer, result.stop_reason) == ("failed", None, f"budget:{limit}")
        assert server.calls == 0

    def test_tokens_end_the_rounds_with_the_best_so_far(self, serve: Serve) -> None:
        server = serve(Roles())
        free = magicore(calibration="frozen", max_tokens=40, review_tokens=40).run("What?")
        total = free.usage.prompt_tokens + free.usage.completion_tokens
        result = magicore(calibration="frozen", max_tokens=40, review_tokens=40, budget_tokens=total // 2).run("What?")
        assert (result.status, result.stop_reason) == ("ok", "budget:tokens")
        assert result.answer in answers(result.candidates) and result.usage.calls < free.usage.calls
        assert server.calls == free.usage.calls + result.usage.calls

    def test_seconds_end_the_rounds_with_the_best_so_far(self, serve: Serve) -> None:
        serve(Roles(), latency=lambda request: 30.0 if role_of(request) == "reviewer" else 0.0)
        result = magicore(budget_seconds=1.0).run("What?")
        assert (result.status, result.answer, result.stop_reason) == ("ok", "10", "budget:seconds")
        assert result.usage.seconds < 5


class TestDeterminism:
    @pytest.mark.parametrize("outcome", ["self_certainty", "judge"])
    @pytest.mark.parametrize("max_n", [1, 128])
    def test_arrival_order_changes_nothing(self, serve: Serve, outcome: str, max_n: int) -> None:
        """Replies depend on the request, pauses on the request and the run."""

        def solver(request: FakeRequest, index: int) -> FakeReply:
            value = (request.fingerprint + index) % 50
            return attempt(value, outcome=0.2 + value / 100, tag=f"chain{value}")

        def faults(request: FakeRequest, number: int) -> Fault | None:
            return REFUSED if role_of(request) == "reviewer" and request.fingerprint % 5 == 0 else None

        roles = Roles(
            solver=solver,
            refined=lambda chain, number: attempt(100 + chain, tag=f"chain{chain} round{number}"),
            judge=lambda request, index: verdict(0.1 + (request.fingerprint % 80) / 100),
        )
        server = serve(roles, max_n=max_n, faults=faults)
        found = []
        for turn in (1, 3, 5):
            server.latency = lambda request, turn=turn: request.fingerprint * turn % 7 / 200
            found.append(magicore(k=6, outcome=outcome, calibration="frozen").run("What?").comparable())
        assert all(result["status"] == "ok" for result in found), [result["failures"] for result in found]
        assert found[0]["usage"]["calls"] > 6, "the question has to be refined"
        assert found[0] == found[1] == found[2]

    def test_equal_seeds_ask_the_same_and_others_do_not(self, serve: Serve) -> None:
        """Invariant 8."""
        server = serve(Roles())
        seeds = []
        for seed in (0, 0, 1):
            server.seen.clear()
            magicore(seed=seed, calibration="frozen").run("What?")
            seeds.append(sorted(request.body["seed"] for request in server.seen))
        assert seeds[0] == seeds[1] and not set(seeds[0]) & set(seeds[2])
        assert len(set(seeds[0])) == len(seeds[0]) == 1 + 2 * 8

    def test_two_tasks_have_seeds_of_their_own(self, serve: Serve) -> None:
        server = serve(Roles())
        for id in ("a", "b"):
            magicore().run(Task(id=id, messages="What?"))
        seeds = [request.body["seed"] for request in server.seen]
        assert len(set(seeds)) == len(seeds)


class TestCalibration:
    """Invariant 9: statistics move with first chains only, and only when a run ends."""

    def test_an_easy_run_adds_the_reward_of_its_first_chain(self, serve: Serve) -> None:
        serve(Roles(solver=chains(attempt(1, outcome=0.6), *[attempt(1, outcome=0.9)] * 3)))
        result = magicore().run("What?")
        (statistics,) = calibration().read().values()
        assert statistics == RewardStatistics(1, result.candidates[0].reward or -1, 0.0)
        assert statistics.mean == pytest.approx(0.6 + 0.97)

    def test_refining_adds_nothing_and_nothing_moves_before_the_end(self, serve: Serve) -> None:
        during: list[int] = []

        def watch(request: FakeRequest, index: int) -> str:
            during.append(len(calibration().read()))
            return feedback(chain_of(request))

        serve(Roles(reviewer=watch))
        result = magicore().run("What?")
        assert during == [0] * 8
        (statistics,) = calibration().read().values()
        assert (statistics.count, statistics.mean) == (1, result.candidates[0].reward)

    def test_frozen_calibration_adds_nothing(self, serve: Serve) -> None:
        serve(Roles())
        magicore(calibration="frozen").run("What?")
        assert calibration().read() == {}

    def test_an_unreadable_first_chain_counts_as_what_it_scored(self, serve: Serve) -> None:
        serve(Roles(solver=chains(unreadable(), *[attempt(1)] * 3)))
        result = magicore(rounds=0).run("What?")
        (statistics,) = calibration().read().values()
        assert statistics.mean == result.candidates[0].reward == pytest.approx(0.9)

    def test_z_scores_from_the_ninth_run_on(self, serve: Serve) -> None:
        serve(Roles(solver=lambda request, index: attempt(7)))
        normalised = [gates(magicore().run(Task(id=f"t{i}", messages="What?")))[0]["normalised"] for i in range(10)]
        assert normalised == [False] * 8 + [True] * 2

    def test_scorers_and_formats_have_statistics_of_their_own(self, serve: Serve) -> None:
        serve(Roles())
        magicore(rounds=0).run("What?")
        magicore(rounds=0, outcome="judge").run("What?")
        magicore(rounds=0, step_reduce="min").run("What?")
        magicore(rounds=0).run(Task(messages="What?", answer_format="text"))
        assert [item.count for item in calibration().read().values()] == [1, 1, 1, 1]

    def test_the_tasks_of_a_run_see_what_it_started_with(self, serve: Serve) -> None:
        serve(Roles(solver=lambda request, index: attempt(7)))
        tasks = [Task(id=f"t{i}", messages="What?") for i in range(10)]

        async def both() -> tuple[list[Result], int]:
            async with await Run.start(magicore()) as run:
                results = [await run.solve(task) for task in tasks]
                before = len(calibration().read())
            return results, before

        results, before = asyncio.run(both())
        assert [gates(result)[0]["normalised"] for result in results] == [False] * 10 and before == 0
        (statistics,) = calibration().read().values()
        assert statistics.count == 10

    def test_committing_a_task_of_a_run_twice_changes_nothing(self) -> None:
        pairs = [("t0", {"f": 1.0}), ("t1", {"f": 2.0})]
        calibration().commit("run", pairs)
        calibration().commit("run", [("t0", {"f": 9.0}), *pairs])
        assert calibration().read() == {"f": RewardStatistics(2, 1.5, 0.5)}
        calibration().commit("other", pairs[:1])
        assert calibration().read()["f"].count == 3
