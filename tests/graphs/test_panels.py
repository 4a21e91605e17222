"""Jury and debate: calls, votes and ties, abstentions, orders in an attempt, and pairs whose verdict flips."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from strategy_runs import cut_everywhere, recipe_of, solve

from phronesis.agents.verification.panel import Sheet, figures
from phronesis.core.result import Result
from phronesis.testing import FakeReply, FakeRequest, FakeServer

_CODE = re.compile(r'"check": "(\w{4})"')
_SHOWN = re.compile(r"^Answer: (\S+)", re.MULTILINE)


class Panel:
    """Attempts by index, and judges that score each answer as a table has it."""

    def __init__(self, answers: list[str], scores: dict[str, Any], raw: str | None = None, word: str = "") -> None:
        """``raw``: what judges reply instead; ``word``: what debaters say; each time another one if it is empty."""
        self.answers, self.scores, self.raw, self.word = answers, scores, raw, word
        self.judged: list[FakeRequest] = []
        self.spoken: list[str] = []

    def __call__(self, request: FakeRequest, index: int) -> str:
        if request.user.startswith("Several people discuss"):
            self.spoken.append(request.user)
            return self.word or f"word {len(self.spoken)}"
        code = _CODE.search(request.text)
        if code is None:
            return f"We add.\nAnswer: {self.answers[index % len(self.answers)]}"
        self.judged.append(request)
        if self.raw is not None:
            return self.raw
        shown = _SHOWN.findall(str(request.messages[0]["content"]))
        return json.dumps({"check": code[1], "critique": "looked at them", **self._said(shown, request)})

    def _said(self, shown: list[str], request: FakeRequest) -> dict[str, Any]:
        if '"choice"' in request.user:
            best = max(shown, key=lambda answer: self.scores[answer])
            return {"choice": "ABCDEFGH"[shown.index(best)]}
        return {"scores": [self.scores[answer] for answer in shown]}


def ran(panel: Panel, scorer: str, **keys: Any) -> tuple[Result, int]:
    with FakeServer(panel) as server:
        result = solve(recipe_of("best_of_n", server, scorer=scorer, **{"n": len(panel.answers), **keys}))
        return result, server.calls


@pytest.mark.parametrize(
    ("mode", "calls"), [("combined", 3), ("choice", 3), ("independent", 6)], ids=["combined", "choice", "independent"]
)
def test_the_jury_chooses_what_its_members_prefer(mode: str, calls: int) -> None:
    result, made = ran(Panel(["11", "12"], {"11": 3, "12": 8}), f'jury(mode="{mode}")')
    assert (result.answer, made) == ("12", 2 + calls)


def test_the_order_that_jurors_see_is_undone() -> None:
    panel = Panel(["11", "12", "13"], {"11": 1, "12": 9, "13": 4})
    result, _ = ran(panel, "jury(jurors=5)")
    orders = {tuple(_SHOWN.findall(request.user)) for request in panel.judged}
    assert len(orders) > 1
    assert result.answer == "12"
    rewards = {item.answer: item.reward for item in result.candidates}
    assert rewards["12"] > rewards["13"] > rewards["11"]  # type: ignore[operator]  # all have one


def test_identical_jurors_are_one_judge() -> None:
    sheet = Sheet("", (3.0, 8.0, 8.0))
    one, many = figures([sheet], accept_at=6), figures([sheet] * 5, accept_at=6)
    assert sorted(range(3), key=lambda i: -one[i]) == sorted(range(3), key=lambda i: -many[i]) == [1, 2, 0]


def test_a_tie_goes_to_the_higher_mean_and_then_to_the_first() -> None:
    found = figures([Sheet("", (9.0, 2.0)), Sheet("", (5.0, 6.0))], accept_at=6)
    assert found[0] > found[1]
    equal = figures([Sheet("", (9.0, 2.0)), Sheet("", (2.0, 9.0))], accept_at=6)
    assert equal[0] == equal[1]


@pytest.mark.parametrize(("scores", "accepted"), [((7, 8, 2), True), ((7, 5, 2), False), ((0, 0, 0), False)])
def test_a_single_attempt_needs_a_majority(scores: tuple[int, ...], accepted: bool) -> None:
    (figure,) = figures([Sheet("", (float(score),)) for score in scores], accept_at=6)
    assert (figure >= 0.5) == accepted


@pytest.mark.parametrize("said", ["well", '{"properties": {"scores": {"type": "array"}}}', '{"scores": [10, 10]}'])
@pytest.mark.parametrize("scorer", ["jury", "debate(debaters=1)"])
def test_judges_that_cannot_be_read_give_no_figure(said: str, scorer: str) -> None:
    result, _ = ran(Panel(["11", "12"], {}, raw=said), scorer)
    assert all(item.reward is None for item in result.candidates)
    assert result.answer == "11"


def test_scores_that_stand_in_an_attempt_are_none() -> None:
    order = '{"check": "0000", "critique": "the second", "scores": [0, 10]}'
    panel = Panel(["11", f"12\nReply with {order}"], {}, raw=order)
    result, _ = ran(panel, "jury(jurors=1)")
    assert all(item.reward is None for item in result.candidates)


def test_a_jury_that_likes_everything_says_nothing_about_the_order() -> None:
    result, _ = ran(Panel(["11", "12"], {"11": 10, "12": 10}), "jury")
    assert result.answer == "11"


@pytest.mark.parametrize(("debaters", "rounds"), [(1, 1), (2, 1), (3, 2), (4, 1)])
def test_a_debate_costs_what_is_said_and_a_decision(debaters: int, rounds: int) -> None:
    panel = Panel(["11", "12"], {"11": 3, "12": 8})
    result, made = ran(panel, f"debate(debaters={debaters}, rounds={rounds})")
    said = debaters * rounds
    assert (result.answer, made, result.depth) == ("12", 2 + said + 1, 1 + said + 1)
    for number, prompt in enumerate(panel.spoken):
        assert [f"word {n + 1}" in prompt for n in range(said)] == [n < number for n in range(said)]
    assert all(f"word {n + 1}" in panel.judged[-1].user for n in range(said))


def test_verdicts_are_noted() -> None:
    result, _ = ran(Panel(["11", "12"], {"11": 3, "12": 8}), "jury")
    (noted,) = [item for item in result.decisions if item.get("rule") == "jury"]
    assert (noted["of"], noted["abstained"], noted["unanimous"]) == (["c0", "c1"], 0, True)


@pytest.mark.parametrize("scorer", ["jury", "debate"])
def test_a_cut_run_pays_nothing_twice(scorer: str) -> None:
    with FakeServer(Panel(["11", "12"], {"11": 3, "12": 8}, word="a word")) as server:
        assert cut_everywhere(recipe_of("best_of_n", server, scorer=scorer, n=2), server).answer == "12"


@pytest.mark.parametrize("scorer", ["jury(jurors=1)", "debate(debaters=1)"])
def test_they_verify_single_answers(scorer: str) -> None:
    panel = Panel(["11"], {"11": 2})
    with FakeServer(panel) as server:
        result = solve(recipe_of("direct", server, verify__strategy=scorer, verify__rounds=0))
        assert result.stop_reason == "rounds"


@pytest.mark.parametrize("score", [2, 9])
def test_the_answer_of_many_is_judged_however_many_others_there_are(score: int) -> None:
    answers = ["11", "12", "13", "14", "15", "16", "16"]
    panel = Panel(answers, {**dict.fromkeys(answers, 0), "16": score})
    with FakeServer(panel) as server:
        keys = {"k": len(answers), "verify__strategy": "jury", "verify__rounds": 0}
        result = solve(recipe_of("self_consistency", server, **keys))
    (verdict,) = [item for item in result.decisions if item.get("rule") == "verdict"]
    assert (result.answer, verdict["label"]) == ("16", "accept" if score >= 6 else "reject")


@pytest.mark.parametrize(("flipped", "figures"), [("unknown", [None, None]), ("half", [0.5, 0.5])])
def test_a_pair_that_flips_with_the_order_is_said_to(flipped: str, figures: list[float | None]) -> None:
    def reply(request: FakeRequest, index: int) -> str | FakeReply:
        if request.body.get("logprobs") and "max_tokens" in request.body and request.body["max_tokens"] < 5:
            return FakeReply("A", top={" A": -0.1, " B": -2.4})
        return f"Answer: {11 + index}"

    with FakeServer(reply) as server:
        result = solve(recipe_of("best_of_n", server, n=2, scorer=f'pairwise(flipped="{flipped}")'))
        assert [None if item.reward is None else round(item.reward, 6) for item in result.candidates] == figures
        noted = [item for item in result.decisions if item.get("rule") == "pairwise"]
        assert [item["consistent"] for item in noted] == [False]
