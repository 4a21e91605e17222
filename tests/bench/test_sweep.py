"""Sweeps: which arms a grid makes, what they are called, and which of them share a bank."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from phronesis.bench.running.plan import Arm
from phronesis.bench.sweep import sharing, split_values, sweep_arms
from phronesis.core.errors import ConfigurationError, RecipeError


def arms(recipe: str = "self_consistency", fixed: dict[str, Any] | None = None, **knobs: Sequence[Any]) -> list[Arm]:
    return sweep_arms(recipe, {f"knobs.{name}": values for name, values in knobs.items()}, fixed or {})


def banks(found: Sequence[Arm]) -> dict[str, str]:
    return {arm.name: arm.bank for arm in found}


class TestGrid:
    @pytest.mark.parametrize(
        ("text", "parts"),
        [
            ("1,2, 4", ["1", "2", "4"]),
            ("8", ["8"]),
            ("[1,2],[3]", ["[1,2]", "[3]"]),
            ("signals,generative(votes=2, level=1)", ["signals", "generative(votes=2, level=1)"]),
            ("\"a,b\",'c,d'", ['"a,b"', "'c,d'"]),
            ("[[1,2],[3]],x", ["[[1,2],[3]]", "x"]),
        ],
    )
    def test_commas_in_brackets_and_quotes_do_not_count(self, text: str, parts: list[str]) -> None:
        assert split_values(text) == parts

    @pytest.mark.parametrize("text", ["", "1,", "1,,2"])
    def test_an_empty_value_is_refused(self, text: str) -> None:
        with pytest.raises(ConfigurationError, match="empty value"):
            split_values(text)

    def test_every_combination_is_an_arm_under_its_settings(self) -> None:
        found = arms(k=[1, 4], temperature=[0.5, 1.0], max_tokens=[64])
        assert [arm.name for arm in found] == [
            "k-1+temperature-0.5",
            "k-1+temperature-1.0",
            "k-4+temperature-0.5",
            "k-4+temperature-1.0",
        ]
        assert [arm.recipe["knobs"]["max_tokens"] for arm in found] == [64] * 4

    def test_keys_that_end_alike_are_written_whole(self) -> None:
        settings = {"models.default.sampling.top_k": [1, 2], "models.judge.sampling.top_k": [3, 4]}
        assert sweep_arms("direct", settings, {})[0].name == (
            "models.default.sampling.top_k-1+models.judge.sampling.top_k-3"
        )

    def test_nothing_swept_is_one_arm_of_the_recipes_name(self) -> None:
        assert [arm.name for arm in sweep_arms("direct", {}, {"budget.calls": 3})] == ["direct"]

    def test_values_twice_and_names_twice_are_refused(self) -> None:
        with pytest.raises(ConfigurationError, match=r"knobs\.k has the value 2 twice"):
            arms(k=[2, 2])
        with pytest.raises(ConfigurationError, match="two points of the sweep are called"):
            arms("best_of_n", scorer=["generative(votes=2)", "generative(votes= 2)"])

    def test_an_unknown_knob_is_the_recipes_error(self) -> None:
        with pytest.raises(RecipeError, match=r"knobs\.n"):
            arms(n=[1, 2])


class TestSharing:
    def test_the_widest_arm_is_the_others_bank(self) -> None:
        assert banks(sharing(arms(k=[1, 8, 4]))) == {"k-1": "k-8", "k-8": "", "k-4": "k-8"}

    def test_arms_that_ask_otherwise_have_banks_of_their_own(self) -> None:
        assert banks(sharing(arms(k=[1, 2], temperature=[0.5, 0.9]))) == {
            "k-1+temperature-0.5": "k-2+temperature-0.5",
            "k-1+temperature-0.9": "k-2+temperature-0.9",
            "k-2+temperature-0.5": "",
            "k-2+temperature-0.9": "",
        }
        assert set(banks(sharing(arms(max_tokens=[64, 128]))).values()) == {""}
        assert set(banks(sharing(arms(max_tokens=[64, 128]), every=True)).values()) == {"max_tokens-64", ""}

    def test_the_arm_with_logprobs_serves_those_without(self) -> None:
        found = banks(sharing(arms(weights=["count", "probability"])))
        assert found == {"weights-count": "weights-probability", "weights-probability": ""}

    def test_a_recorded_run_serves_the_bank(self) -> None:
        assert banks(sharing(arms(k=[1, 2]), bank="20260101-000000-abcdef")) == {
            "k-1": "k-2",
            "k-2": "20260101-000000-abcdef",
        }

    def test_earlier_arms_stay_what_they_are_and_serve_new_ones(self) -> None:
        before = sharing(arms(k=[1, 4]))
        assert banks(sharing(arms(k=[1, 2, 4]), before)) == {"k-1": "k-4", "k-2": "k-4", "k-4": ""}
        assert banks(sharing(arms(k=[1, 4, 6, 8]), before)) == {"k-1": "k-4", "k-4": "", "k-6": "k-8", "k-8": "k-4"}

    def test_arms_that_learn_share_nothing(self) -> None:
        assert set(banks(sharing(arms(fixed={"memory.mode": "write"}, k=[1, 2]))).values()) == {""}

    def test_a_budget_narrows_an_arm(self) -> None:
        found = sharing(sweep_arms("self_consistency", {"knobs.k": [4, 8], "budget.calls": [2, 9]}, {}))
        assert banks(found)["k-8+calls-9"] == "" and set(banks(found).values()) == {"", "k-8+calls-9"}
