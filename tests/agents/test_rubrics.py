"""Rubrics and taxonomies: what a file may say, what is refused and how, and what choices come to."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phronesis.agents.verification.rubric import Rubric
from phronesis.agents.verification.rubric_files import derived, load_rubric, rubric_file, rubric_names
from phronesis.agents.verification.taxonomy import load_taxonomy, taxonomy_names
from phronesis.core.errors import RecipeError
from phronesis.core.verdict import CriterionVerdict

HEAD = 'schema = "phronesis/rubric/1"\nname = "mine"\n'
CRITERION = '[[criteria]]\nname = "{name}"\nquestion = "Is it?"\nchoices = {choices}\n{more}\n'


def written(path: Path, *criteria: tuple[str, str, str], head: str = HEAD) -> str:
    parts = [CRITERION.format(name=name, choices=choices, more=more) for name, choices, more in criteria]
    (path / "mine.toml").write_text(head + "\n".join(parts), encoding="utf-8")
    return str(path / "mine.toml")


GOOD = '["no", "yes"]'


def test_the_shipped_rubrics_hold() -> None:
    assert {"math", "code", "grounded_answer", "instruction_following", "taxonomy:deep_research"} <= set(rubric_names())
    for name in rubric_names():
        rubric = load_rubric(name)
        assert sum(map(rubric.weight_of, rubric.criteria)) == pytest.approx(1.0)
        assert rubric_file(name) == ()


@pytest.mark.parametrize(
    ("criteria", "said"),
    [
        ([("a", GOOD, "weight = 0.4"), ("b", GOOD, "weight = 0.5")], "sum to 0.9, wanted is 1"),
        ([("a", GOOD, "weight = -1.0"), ("b", GOOD, "weight = 2.0")], "weight -1.0"),
        ([("a", GOOD, "weight = nan"), ("b", GOOD, "weight = 1.0")], "wanted is a positive number"),
        ([("a", GOOD, "weight = 1.0"), ("b", GOOD, "")], "'b' has no weight"),
        ([("a", GOOD, ""), ("A", GOOD, "")], "two criteria are called 'a'"),
        ([("a", '["yes"]', "")], "two or more, worst first"),
        ([("a", "[]", "")], "two or more, worst first"),
        ([("a", '["yes", "Yes"]', "")], "'yes' twice"),
        ([("a", '["no", "unknown"]', "")], "judges may say that anyway"),
        ([("a", GOOD, 'wieght = "1"')], "unknown key"),
        ([("  ", GOOD, "")], "criteria.0.name"),
        ([("a", '["no", " "]', "")], "criteria.0.choices.1.name"),
        ([], "'criteria' is missing"),
    ],
)
def test_what_is_no_rubric_is_refused_with_its_place(
    tmp_path: Path, criteria: list[tuple[str, str, str]], said: str
) -> None:
    path = written(tmp_path, *criteria)
    with pytest.raises(RecipeError) as caught:
        load_rubric(path)
    assert said in caught.value.message and "mine.toml" in caught.value.message
    assert caught.value.mend


def test_the_nearest_key_and_name_are_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="did you mean 'weight'"):
        load_rubric(written(tmp_path, ("a", GOOD, "wieght = 1.0")))
    with pytest.raises(RecipeError, match="did you mean 'math'"):
        load_rubric("maht")
    with pytest.raises(RecipeError, match="is not TOML"):
        load_rubric(written(tmp_path, head="schema = "))


def rubric(*weights: float, veto: bool = False, choices: int = 3) -> Rubric:
    names = [str(number) for number in range(choices)]
    return Rubric.model_validate(
        {
            "name": "mine",
            "criteria": [
                {"name": f"c{n}", "question": "?", "choices": names, "weight": weight, "veto": veto and n == 0}
                for n, weight in enumerate(weights)
            ],
        }
    )


def said(*scores: float | None) -> list[CriterionVerdict]:
    return [CriterionVerdict(criterion=f"c{n}", score=score) for n, score in enumerate(scores)]


def test_choices_score_by_their_place() -> None:
    (criterion,) = rubric(1.0, choices=5).criteria
    assert [criterion.score_of(name) for name in criterion.names] == [0.0, 0.25, 0.5, 0.75, 1.0]


@pytest.mark.parametrize(
    ("scores", "figure", "label"),
    [
        ((1.0, 1.0, 1.0), 1.0, "accept"),
        ((1.0, 0.5, 0.5), 0.75, "accept"),
        ((0.5, 0.5, 1.0), 0.6, "reject"),
        ((1.0, None, None), 1.0, "accept"),
        ((None, 1.0, None), None, "unknown"),
        ((None, None, None), None, "unknown"),
    ],
)
def test_the_weighted_mean_of_what_is_known(scores: tuple[float | None, ...], figure: float | None, label: str) -> None:
    mine = rubric(0.5, 0.3, 0.2)
    found = mine.score(said(*scores))
    assert found == (None if figure is None else pytest.approx(figure))
    assert mine.label(found) == label


def test_a_veto_rejects_whatever_the_others_say() -> None:
    mine = rubric(0.1, 0.9, veto=True)
    assert mine.label(mine.score(said(0.0, 1.0))) == "reject"
    assert mine.label(mine.score(said(0.5, 1.0))) == "accept"


@given(st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=3, max_size=3), st.integers(0, 2))
def test_a_better_choice_never_lowers_the_score(scores: list[float], better: int) -> None:
    mine = rubric(0.2, 0.3, 0.5, veto=True)
    raised = [1.0 if index == better else score for index, score in enumerate(scores)]
    before, after = mine.score(said(*scores)), mine.score(said(*raised))
    assert before is not None and after is not None and after >= before - 1e-12


def test_feedback_names_the_worst_first() -> None:
    mine = rubric(0.2, 0.8)
    verdicts = [
        CriterionVerdict(criterion="c0", score=0.0, choice="0", reason="the unit"),
        CriterionVerdict(criterion="c1", score=0.5, choice="1", reason="the sum"),
    ]
    assert mine.feedback(verdicts).splitlines() == ["- c1: 1. the sum", "- c0: 0. the unit"]


def test_a_rubric_is_derived_from_a_taxonomy() -> None:
    mine = load_rubric("taxonomy:deep_research")
    assert [round(mine.weight_of(item), 3) for item in mine.criteria] == [0.3, 0.3, 0.2, 0.1, 0.1]
    assert [item.veto for item in mine.criteria] == [True, True, True, False, False]
    assert {item.names for item in mine.criteria} == {("poor", "needs improvement", "good", "excellent")}


def test_a_users_taxonomy_extends_a_shipped_one(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        'schema = "phronesis/taxonomy/1"\nname = "mine"\nextends = "maths"\n[[classes]]\nid = "A1"\nname = "books"\n'
        'definition = "an entry is wrong"\n[[classes]]\nid = "M1"\nname = "reading"\ndefinition = "read wrongly"\n'
        '[[classes.kinds]]\nid = "M1.9"\nname = "wrong line"\ndefinition = "another line is read"\n',
        encoding="utf-8",
    )
    taxonomy = load_taxonomy(str(path))
    ids = [item.id for item in taxonomy.items]
    assert "A1" in ids and "M1.9" in ids and "M2.2" in ids
    assert [item.name for item in derived(taxonomy).criteria] == ["reading", "working", "answering", "books"]


def test_a_run_pins_what_a_taxonomy_extends(tmp_path: Path) -> None:
    head = 'schema = "phronesis/taxonomy/1"\nname = "x"\n'
    first, second = tmp_path / "first.toml", tmp_path / "second.toml"
    first.write_text(head + 'extends = "maths"\n', encoding="utf-8")
    second.write_text(head + f"extends = '{first}'\n", encoding="utf-8")
    assert rubric_file(f"taxonomy:{second}") == (str(second), str(first))
    assert rubric_file(f"taxonomy:{tmp_path / 'none.toml'}") == (str(tmp_path / "none.toml"),)


def test_what_is_extended_may_lie_beside_the_file_and_be_reworded(tmp_path: Path) -> None:
    head = 'schema = "phronesis/taxonomy/1"\nname = "x"\n'
    (tmp_path / "base.toml").write_text(head + 'extends = "maths"\n', encoding="utf-8")
    path = tmp_path / "mine.toml"
    more = '[[classes]]\nid = "M3"\nname = "ending"\ndefinition = "the end is wrong"\nweight = 0.6\nveto = false\n'
    path.write_text(head + 'extends = "base.toml"\n' + more, encoding="utf-8")
    ending = load_taxonomy(str(path)).classes[-1]
    assert (ending.name, ending.weight, ending.veto, [kind.id for kind in ending.kinds]) == (
        "ending",
        0.6,
        False,
        ["M3.1", "M3.2"],
    )
    assert len(ending.levels) == 4
    assert rubric_file(f"taxonomy:{path}") == (str(path), str(tmp_path / "base.toml"))


@pytest.mark.parametrize(
    ("second", "more", "said"),
    [("books", "", "two criteria are called 'books'"), ("other", "dimension = false", "there are no criteria")],
)
def test_a_taxonomy_that_makes_no_rubric_is_refused(tmp_path: Path, second: str, more: str, said: str) -> None:
    path = tmp_path / "mine.toml"
    classes = [
        f'[[classes]]\nid = "A{n}"\nname = "{name}"\ndefinition = "x"\n{more}\n'
        for n, name in enumerate(("books", second))
    ]
    path.write_text('schema = "phronesis/taxonomy/1"\nname = "mine"\n' + "".join(classes), encoding="utf-8")
    with pytest.raises(RecipeError, match="no rubric can be derived from the taxonomy 'mine'") as caught:
        load_rubric(f"taxonomy:{path}")
    assert said in caught.value.message and caught.value.mend


def test_an_acceptance_from_nothing_on_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="accept = 0"):
        load_rubric(written(tmp_path, ("a", GOOD, "veto = true"), head=HEAD + "accept = 0\n"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('schema = "phronesis/taxonomy/1"\nname = "x"\n', "at least 1 item"),
        ('schema = "phronesis/taxonomy/2"\nname = "x"\n', "schema"),
        ('schema = "phronesis/taxonomy/1"\nname = "x"\nextends = "maths"\nclases = []\n', "unknown key"),
    ],
)
def test_what_is_no_taxonomy_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(RecipeError, match=said):
        load_taxonomy(str(path))


def test_the_papers_classes_are_there() -> None:
    assert taxonomy_names() == ["deep_research", "maths"]
    taxonomy = load_taxonomy("deep_research")
    assert [item.id for item in taxonomy.classes] == ["F1", "F2", "F3", "F4", "F5", "other"]
    assert len([item for item in taxonomy.items if item.id != "other"]) == 14
