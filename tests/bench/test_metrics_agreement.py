"""Agreement of verifiers with people: kappa, the best threshold, its ties and its interval."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from phronesis.bench.metrics.agreement import best_threshold, cohens_kappa
from phronesis.bench.run_verdicts import RunVerdict, agreements, labelled_rows


@pytest.mark.parametrize(
    ("first", "second", "kappa"),
    [
        ([1, 1, 0, 0], [1, 1, 0, 0], 1.0),
        ([1, 1, 0, 0], [0, 0, 1, 1], -1.0),
        ([1, 1, 0, 0], [1, 0, 1, 0], 0.0),
        # Cohen's counts 20, 5, 10, 15: observed 0.7, expected 0.5.
        ([1] * 25 + [0] * 25, [1] * 20 + [0] * 5 + [1] * 10 + [0] * 15, 0.4),
    ],
)
def test_kappa_is_cohens(first: list[int], second: list[int], kappa: float) -> None:
    assert cohens_kappa(first, second) == pytest.approx(kappa)


def test_kappa_of_nothing_and_of_one_word_is_not_defined() -> None:
    assert math.isnan(cohens_kappa([], [])) and cohens_kappa([1, 1], [1, 1]) == 1.0


def test_the_threshold_that_separates_is_found_with_its_ties() -> None:
    found = best_threshold([0.1, 0.4, 0.6, 0.9], [False, False, True, True], "abcd")
    assert found is not None
    assert (found.accept, found.agreement, found.ties) == (0.6, 1.0, (0.6,))
    assert found.low <= 0.6 <= found.high
    tied = best_threshold([0.2, 0.5, 0.8], [True, False, True], "abc")
    assert tied is not None and tied.ties == (0.2, 0.8) and tied.accept == 0.2


def test_accepting_nothing_is_a_threshold_too() -> None:
    found = best_threshold([0.5, 0.9], [False, False], "ab")
    assert found is not None and math.isinf(found.accept) and found.agreement == 1.0
    assert best_threshold([], [], []) is None


def test_attempts_of_one_task_are_drawn_together() -> None:
    scores, right = [0.2, 0.8] * 20, [False, True] * 20
    together = best_threshold(scores, right, ["one"] * 40)
    assert together is not None and (together.low, together.high) == (0.8, 0.8)
    again = best_threshold(scores, right, list(range(40)))
    assert again is not None and again == best_threshold(scores, right, list(range(40)))


ONE = RunVerdict(
    run="r",
    task="t",
    attempt="c0",
    question="q",
    solution="s",
    answer="1",
    answer_format="number",
    verifier="judge",
    label="accept",
    score=0.9,
    reason="",
    counted="accept",
    person="approve",
)


def test_what_the_person_says_makes_the_label() -> None:
    assert ONE.right is True and replace(ONE, person=None).right is None
    assert replace(ONE, counted="reject", person="overrule").right is False
    assert replace(ONE, label="unknown", counted="unknown").right is None


def test_an_unknown_verdict_agrees_with_nobody() -> None:
    (found,) = agreements(
        [ONE, replace(ONE, task="u", label="unknown", score=None, counted="accept", person="overrule")]
    )
    assert (found.judged, found.unknown, found.accuracy, found.kappa) == (2, 1, 0.5, 1.0)
    assert agreements([replace(ONE, person=None)]) == []


def test_enough_verdicts_are_not_warned_of() -> None:
    (found,) = agreements([replace(ONE, task=str(number)) for number in range(20)])
    assert found.warning == "" and found.to_json()["threshold"]["accept"] == 0.9


def test_rows_hold_one_label_for_one_attempt_and_one_question_for_one_id() -> None:
    later = replace(ONE, attempt="v1/c0", counted="reject", person="overrule")
    elsewhere = replace(ONE, run="other", question="another q")
    rows = labelled_rows([ONE, later, elsewhere, replace(ONE, person=None), replace(ONE, solution="")])
    assert [(row["id"], row["right"]) for row in rows] == [("r:t", False), ("other:t", True)]
