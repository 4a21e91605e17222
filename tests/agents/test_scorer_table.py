"""Scorers by name: how recipes write them, what is refused and with which words, what each says it costs."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phronesis.agents.scorers.table import (
    SHIPPED,
    ScorerCalls,
    ScorerContext,
    ScorerKind,
    choose_scorer,
    find_scorer,
    scorer_names,
)
from phronesis.core.errors import RecipeError
from phronesis.core.named import NamedSpec
from phronesis.core.ports import GroupScorer, OutcomeScorer, StepScorer


class TestSpec:
    @pytest.mark.parametrize(
        ("text", "name", "options"),
        [
            ("judge", "judge", {}), ("judge()", "judge", {}), ("  judge ( ) ", "judge", {}),
            ("generative(votes=4)", "generative", {"votes": 4}),
            ("generative( votes = 4 , framing = error )", "generative", {"votes": 4, "framing": "error"}),
            ("generative(votes=4,)", "generative", {"votes": 4}),
            ('signals(model="/a/b,c (1).toml")', "signals", {"model": "/a/b,c (1).toml"}),
            ("signals(model='it is, a = b')", "signals", {"model": "it is, a = b"}),
            (r'signals(model="say \"no\", please")', "signals", {"model": 'say "no", please'}),
            ("x(a=[1, 2], b=true, c=0.5, d=-3)", "x", {"a": [1, 2], "b": True, "c": 0.5, "d": -3}),
            ("x(a=/tmp/m.toml)", "x", {"a": "/tmp/m.toml"}), ("x(a=1979-05-27x)", "x", {"a": "1979-05-27x"}),
            ("x(a=\n1,\nb=2)", "x", {"a": 1, "b": 2}),
        ],
    )  # fmt: skip
    def test_name_and_options(self, text: str, name: str, options: dict[str, Any]) -> None:
        assert NamedSpec.parse(text, what="scorer", error=RecipeError) == NamedSpec(name, options)

    @pytest.mark.parametrize(
        "text",
        [
            "", "   ", "()", "a b", "judge)", "judge(", "generative(votes=4", "generative(4)", "generative(votes)",
            "generative(=4)", "generative(a b=4)", "judge() extra", "judge, signals", "x-y",
        ],
    )  # fmt: skip
    def test_anything_else_is_refused_by_name(self, text: str) -> None:
        with pytest.raises(RecipeError) as caught:
            NamedSpec.parse(text, what="scorer", error=RecipeError)
        assert repr(text)[1:-1] in caught.value.message and caught.value.mend

    def test_an_option_written_twice_is_refused(self) -> None:
        with pytest.raises(RecipeError):
            NamedSpec.parse("generative(votes=2, votes=3)", what="scorer", error=RecipeError)

    @given(st.text(max_size=40))
    def test_any_text_is_a_scorer_or_a_recipe_error(self, text: str) -> None:
        try:
            assert NamedSpec.parse(text, what="scorer", error=RecipeError).name
        except RecipeError:
            pass

    @given(st.text(alphabet=st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=20))
    def test_a_quoted_text_comes_back(self, value: str) -> None:
        written = value.replace("\\", "\\\\").replace('"', '\\"')
        assert NamedSpec.parse(f'signals(model="{written}", other=1)', what="scorer").options == {
            "model": value,
            "other": 1,
        }


class TestChoose:
    @pytest.mark.parametrize(
        ("text", "says", "mend"),
        [
            ("jugde", "unknown scorer 'jugde'", "did you mean 'judge'"), ("zzz", "unknown scorer 'zzz'", "known: "),
            ("generative(vote=2)", "no option 'vote'", "did you mean 'votes'"),
            ("judge(votes=2)", "no option 'votes'", "known options: none"),
            ("generative(votes=0)", "votes = 0", "correct votes"),
            ("generative(votes=-1)", "votes = -1", "correct votes"),
            ("generative(votes=many)", "votes = 'many'", "correct votes"),
            ("generative(votes=)", "votes = ''", "correct votes"), ("generative(votes=2.5)", "votes = 2.5", "correct votes"),
            ("generative(framing=sideways)", "framing = 'sideways'", "correct framing"),
            ("generative(temperature=-1)", "temperature = -1", "correct temperature"),
            ("pairwise(answers=1)", "answers = 1", "correct answers"),
            ("backward(hidden=[1])", "hidden = [1]", "correct hidden"),
            ("step_judge(most_steps=0)", "most_steps = 0", "correct most_steps"),
            ("signals(model=5)", "model = 5", "correct model"),
        ],
    )  # fmt: skip
    def test_what_is_wrong_is_named_with_the_mend(self, text: str, says: str, mend: str) -> None:
        with pytest.raises(RecipeError) as caught:
            choose_scorer(text)
        assert says in caught.value.message and mend in str(caught.value.mend)

    @pytest.mark.parametrize(
        ("text", "kinds"),
        [("arithmetic", ("outcome",)), ("judge", ("step", "group")), ("pairwise", ("outcome", "step"))],
    )
    def test_a_kind_that_does_not_fit_names_those_that_do(self, text: str, kinds: tuple[ScorerKind, ...]) -> None:
        with pytest.raises(RecipeError) as caught:
            choose_scorer(text, kinds=kinds)
        named = str(caught.value.mend).removeprefix("choose one of ").split(", ")
        assert named and all(find_scorer(name).kind in kinds for name in named)

    def test_built_as_another_kind_it_is_refused(self) -> None:
        with pytest.raises(RecipeError, match="of kind step, wanted is outcome"):
            choose_scorer("arithmetic").outcome(None)  # type: ignore[arg-type]  # refused before it is looked at

    def test_every_shipped_scorer_is_what_its_entry_says(self) -> None:
        assert scorer_names()[: len(SHIPPED)] == list(SHIPPED)
        for name in SHIPPED:
            entry = find_scorer(name)
            assert entry.name == name and entry.kind in get_args(ScorerKind)
            assert entry.summary and "\n" not in entry.summary
            assert entry.options.model_config.get("extra") == "forbid"

    def test_the_text_is_kept_as_written(self) -> None:
        assert choose_scorer("generative( votes=3 )").text == "generative( votes=3 )"


class TestCalls:
    @pytest.mark.parametrize(
        ("text", "calls"),
        [
            ("self_certainty", ScorerCalls()), ("answer_certainty", ScorerCalls()), ("arithmetic", ScorerCalls()),
            ("judge", ScorerCalls(attempt=1)), ("step_judge(most_steps=5)", ScorerCalls(step=1, most_steps=5)),
            ("generative(votes=3)", ScorerCalls(attempt=6)), ("generative(votes=3, framing=error)", ScorerCalls(attempt=3)),
            ("backward(hidden=2, votes=3, answers=4)", ScorerCalls(task=24, task_depth=1)),
            ("execution(programs=3)", ScorerCalls(task=3, task_depth=1)),
            ("pairwise(answers=3)", ScorerCalls(task=6, task_depth=1)),
            ("jury(jurors=5)", ScorerCalls(task=10, task_depth=2)),
            ("jury(mode=independent, answers=3)", ScorerCalls(task=18, task_depth=2)),
            ("debate(debaters=4, rounds=2)", ScorerCalls(task=10, task_depth=10)),
        ],
    )  # fmt: skip
    def test_the_cost_law(self, text: str, calls: ScorerCalls) -> None:
        assert choose_scorer(text).calls == calls

    def test_free_depth_and_most(self) -> None:
        assert ScorerCalls().free and ScorerCalls().depth == 0 and ScorerCalls().most == 0
        assert not ScorerCalls(task=1).free and not ScorerCalls(step=1).free
        assert (ScorerCalls(attempt=6).depth, ScorerCalls(attempt=6).most) == (1, 6)
        assert (ScorerCalls(task=6, task_depth=2).depth, ScorerCalls(task=6).most) == (2, 0)
        assert ScorerCalls(attempt=1, step=2, most_steps=5).most == 11

    def test_what_endpoints_must_offer(self) -> None:
        assert choose_scorer("judge").roles == {"judge": ("logprobs", "prefill")}
        assert choose_scorer("generative").roles == {"verifier": ("prefill",)}
        assert choose_scorer("execution").roles == {"programmer": ("prefill",)}
        assert list(choose_scorer("jury").roles) == ["juror1", "juror2", "juror3"]
        assert list(choose_scorer("debate(debaters=2)").roles) == ["debater1", "debater2", "judge"]
        assert choose_scorer("self_certainty").logprobs and not choose_scorer("generative").logprobs

    def test_built_scorers_keep_the_ports(self) -> None:
        nobody: Any = None
        around = ScorerContext(
            client=lambda role: nobody, sampling=lambda role, default: default, answers=nobody, programs=nobody
        )
        outcome: OutcomeScorer = choose_scorer("generative").outcome(around)
        step: StepScorer = choose_scorer("step_judge").step(around)
        group: GroupScorer = choose_scorer("pairwise").group(around)
        assert (outcome.name, step.name, group.name) == ("generative", "step_judge", "pairwise")
