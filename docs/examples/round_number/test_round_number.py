"""The round-number scorer: with numbers, by its name and options, and inside a recipe."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from round_number import RoundNumber, places

from phronesis.agents.scorers.table import choose_scorer
from phronesis.core.budget import Account, Branch, Budget
from phronesis.core.errors import RecipeError
from phronesis.core.result import Candidate
from phronesis.core.site import Site
from phronesis.core.task import as_task
from phronesis.graphs.recipe import Recipe
from phronesis.testing import FakeRequest, FakeServer


@pytest.mark.parametrize(("text", "most"), [("", 0), ("9 boxes of 12.", 0), ("$1.50 and 0.125", 3), ("1,000.5", 1)])
def test_places(text: str, most: int) -> None:
    assert places(text) == most


@pytest.mark.parametrize(
    ("question", "answer", "score"),
    [
        ("How many of 3 boxes?", "12", 0.5),
        ("How many of 3 boxes?", "360.25", 0.2),
        ("How many of 3 boxes?", "1/3", 0.2),
        ("What do 3 pens at $1.50 cost?", "4.5", 0.5),
        ("How many of 3 boxes?", None, 0.0),
    ],
)
def test_scores(question: str, answer: str | None, score: float) -> None:
    candidate = Candidate(id="c0", answer=answer)
    site = Site(Branch("", Account(Budget())), "round_number")
    scorer = RoundNumber(doubt=0.2)
    assert asyncio.run(scorer.score(as_task(question), candidate, site=site)) == score
    assert scorer.calls_for(candidate) == 0


def test_it_is_found_by_its_name_and_checks_its_options() -> None:
    chosen = choose_scorer("round_number(doubt=0.1)")
    assert (chosen.kind, chosen.calls.free, chosen.logprobs, dict(chosen.roles)) == ("outcome", True, False, {})
    with pytest.raises(RecipeError) as caught:
        choose_scorer("round_number(doubts=0.1)")
    assert caught.value.mend == "did you mean 'doubt'?"


def test_a_recipe_chooses_by_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PHRONESIS_HOME", str(tmp_path))
    written = ["360.25", "153", "360.25"]

    def reply(request: FakeRequest, index: int) -> str:
        return f"Attempt {index}.\nThe answer is \\boxed{{{written[index]}}}."

    with FakeServer(reply) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        recipe = Recipe.load("best_of_n", overrides={"knobs.n": 3, "knobs.scorer": "round_number"})
        result = recipe.run("How many of 3 boxes?")
        assert (result.answer, server.calls) == ("153", 3)
    assert [item.reward for item in result.candidates] == [0.2, 0.5, 0.2]
