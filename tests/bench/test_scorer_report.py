"""Scorer reports on banks made by hand: accuracies, ties, missing figures, cost; and figures of models that were fitted."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import pytest

from phronesis.agents.scorers.logistic import LogisticModel
from phronesis.bench.dataset import Example
from phronesis.bench.fitting import Row, answer_rows, attempt_rows, fit_rows, held_out
from phronesis.bench.ranking import auroc
from phronesis.bench.scorer_report import (
    GradedQuestion,
    best_accuracy,
    grade,
    majority_accuracy,
    oracle_accuracy,
    report,
    single_accuracy,
    weighted_accuracy,
)
from phronesis.core.errors import ConfigurationError
from phronesis.core.result import Candidate, Failure, Result
from phronesis.core.task import AnswerFormat, Task


def attempts(*pairs: tuple[str | None, float | None]) -> tuple[Candidate, ...]:
    """Attempts from (answer, the figure of scorer ``s``)."""
    return tuple(
        Candidate(id=f"c{index}", text=f"It is {answer}.", answer=answer, scores={"s": figure})
        if answer is not None
        else Candidate(id=f"c{index}", text="?", status="unparsable", scores={"s": figure})
        for index, (answer, figure) in enumerate(pairs)
    )


def question(gold: str, *pairs: tuple[str | None, float | None], id: str = "q") -> GradedQuestion:
    made = attempts(*pairs)
    return GradedQuestion(id, made, tuple(item.answer == gold for item in made))


def example(gold: str, *, id: str = "q", format: AnswerFormat | None = "number") -> Example:
    return Example(Task(messages="How many?", id=id, answer_format=format), gold)


def result(*candidates: Candidate, id: str = "q") -> Result:
    return Result(task_id=id, status="ok", answer=None, candidates=candidates)


class TestGrade:
    @pytest.mark.parametrize(
        ("gold", "answer", "right"),
        [("1,000", "1000", True), ("5.0", "5", True), ("$5", "5", True), ("0.5", "1/2", True), ("6", "5", False)],
    )
    def test_answers_are_compared_by_value(self, gold: str, answer: str, right: bool) -> None:
        (found,) = grade([result(*attempts((answer, 0.5)))], [example(gold)])
        assert found.right == (right,)

    def test_unreadable_attempts_are_wrong_and_failed_ones_left_out(self) -> None:
        error = Failure(where="task solver", error="ServerFailed", message="500")
        failed = Candidate(id="c9", status="failed", error=error)
        (found,) = grade([result(*attempts(("5", 0.1), (None, 0.9)), failed)], [example("5")])
        assert found.right == (True, False) and [item.id for item in found.candidates] == ["c0", "c1"]

    def test_tasks_without_an_example_are_left_out(self) -> None:
        found = grade([result(id="a"), result(id="b")], [example("5", id="b"), example("6", id="c")])
        assert [item.id for item in found] == ["b"]

    @pytest.mark.parametrize("gold", ["eighteen", "  "])
    def test_a_gold_answer_that_cannot_be_read_is_refused(self, gold: str) -> None:
        with pytest.raises(ConfigurationError):
            grade([result(*attempts(("18", 0.5)))], [example(gold)])

    def test_a_worked_solution_with_its_mark_is_a_gold_answer(self) -> None:
        gold = "Ann has 12 + 6 = <<12+6=18>>18 apples.\n#### 18"
        (found,) = grade([result(*attempts(("18", 0.5)))], [example(gold)])
        assert found.right == (True,)


class TestAccuracies:
    QUESTIONS = (
        question("5", ("5", 0.2), ("7", 0.9), ("5", 0.3)),
        question("7", ("5", 0.9), ("7", 0.8), ("7", 0.7), ("5", 0.1)),
        question("9", ("5", 0.5), (None, 1.0)),
        question("5", (None, 0.5)),
    )

    def test_single_majority_and_any(self) -> None:
        assert single_accuracy(self.QUESTIONS) == [pytest.approx(2 / 3), 0.5, 0.0, 0.0]
        assert majority_accuracy(self.QUESTIONS) == [1.0, 0.0, 0.0, 0.0]
        assert oracle_accuracy(self.QUESTIONS) == [1.0, 1.0, 0.0, 0.0]

    def test_best_and_weighted(self) -> None:
        assert best_accuracy(self.QUESTIONS, "s") == [0.0, 0.0, 0.0, 0.0]
        assert weighted_accuracy(self.QUESTIONS, "s") == [0.0, 1.0, 0.0, 0.0]

    def test_ties_go_to_the_first(self) -> None:
        tied = (question("5", ("5", 0.5), ("7", 0.5)), question("5", ("7", 0.5), ("5", 0.5)))
        for found in (majority_accuracy(tied), best_accuracy(tied, "s"), weighted_accuracy(tied, "s")):
            assert found == [1.0, 0.0]

    def test_an_attempt_without_a_figure_is_behind_every_one_that_has_one(self) -> None:
        assert best_accuracy((question("5", ("7", None), ("5", 0.0)),), "s") == [1.0]
        assert weighted_accuracy((question("5", ("7", None), ("7", None), ("5", 0.1)),), "s") == [1.0]

    def test_without_any_figure_the_vote_is_the_majority(self) -> None:
        none = (question("5", ("7", None), ("5", None), ("5", None)),)
        assert weighted_accuracy(none, "s") == weighted_accuracy(none, "unknown") == majority_accuracy(none) == [1.0]

    def test_equal_figures_vote_like_the_majority(self) -> None:
        even = tuple(
            question("5", *[(answer, 0.4) for answer, _ in zip(row, row, strict=True)]) for row in ("557", "775", "57")
        )
        assert weighted_accuracy(even, "s") == majority_accuracy(even)

    def test_a_figure_of_an_unreadable_attempt_changes_no_vote(self) -> None:
        odd = (question("5", (None, 0.9), ("7", 0.0), ("5", 0.0), ("5", 0.0)),)
        assert weighted_accuracy(odd, "s") == majority_accuracy(odd) == [1.0]


class TestReport:
    def test_every_figure_of_a_small_bank(self) -> None:
        bank = (
            question("5", ("5", 0.9), ("5", 0.8), ("7", 0.3), id="a"),
            question("5", ("5", 0.4), ("7", 0.6), ("8", None), id="b"),
        )
        found = report(bank, "s", cost=(10, 500, 2.5))
        assert found.scored == 5
        assert found.pooled.value == pytest.approx(5 / 6) and found.within.value == 0.5
        assert (found.best.value, found.vote.value, found.best_gain.value) == (0.5, 0.5, -0.5)
        shares = (found.verdicts.accepts_right, found.verdicts.accepts_wrong, found.verdicts.unknown)
        assert shares == (pytest.approx(2 / 3), pytest.approx(1 / 3), pytest.approx(1 / 6))
        assert (found.calls, found.tokens, found.seconds) == (2.0, 100.0, 0.5)
        assert found.at_chance

    def test_the_baseline_of_the_gains_is_the_majority(self) -> None:
        bank = [question("5", ("7", 0.9), ("5", 0.1), ("5", 0.2), id=str(number)) for number in range(5)]
        found = report(bank, "s")
        assert (found.vote_gain.value, found.best_gain.value) == (-1.0, -1.0)

    def test_a_scorer_without_a_figure_is_at_chance_and_says_so(self) -> None:
        found = report((question("5", ("5", None), ("7", None)),), "s", cost=(4, 4, 4.0))
        assert found.scored == 0 and found.at_chance and math.isnan(found.pooled.value)
        data = found.to_json()
        assert data["pooled"] == [None, None, None] and data["unknown"] == 1.0 and data["at_chance"] is True

    def test_without_a_mixed_question_the_pooled_area_decides(self) -> None:
        bank = (question("5", ("5", 0.9), ("5", 0.8)), question("5", ("7", 0.1), ("8", 0.2)))
        found = report(bank, "s")
        assert math.isnan(found.within.value) and not found.at_chance

    def test_it_is_the_same_every_time(self) -> None:
        bank = [question("5", ("5", random.Random(n).random()), ("7", 0.5), id=str(n)) for n in range(6)]
        assert report(bank, "s") == report(bank, "s")


def random_rows(questions: int, each: int, seed: int, *, telling: float = 0.0) -> list[list[Row]]:
    """Rows of two figures; ``telling``: how much the first says about being right."""
    rng = random.Random(seed)
    made = []
    for _ in range(questions):
        rights = [rng.random() < 0.5 for _ in range(each)]
        made.append([Row({"a": rng.gauss(telling * good, 1.0), "b": rng.gauss(0, 1)}, good) for good in rights])
    return made


def pooled(rows: Sequence[Sequence[Row]], scores: Sequence[Sequence[float]]) -> float:
    pairs = [
        (score, row.right)
        for part, group in zip(scores, rows, strict=True)
        for score, row in zip(part, group, strict=True)
    ]
    return auroc(pairs)


class TestHeldOut:
    def test_labels_by_chance_rank_by_chance(self) -> None:
        """Twenty useless figures would fit their own labels well; held out they are worth nothing."""
        rng = random.Random(4)
        names = [f"f{number}" for number in range(20)]
        rows = [
            [Row({name: rng.gauss(0, 1) for name in names}, rng.random() < 0.5) for _ in range(3)] for _ in range(100)
        ]
        found = held_out(rows, names, ridge=1e-3)
        assert [len(part) for part in found] == [3] * 100
        assert abs(pooled(rows, found) - 0.5) < 0.15

    def test_no_question_is_fitted_on_itself(self) -> None:
        """A figure that names the question gives its labels away only to a model that has seen them."""
        rows = [[Row({f"q{number}": 1.0}, number % 2 == 0)] * 2 for number in range(20)]
        found = held_out(rows, [f"q{number}" for number in range(20)], ridge=1e-6)
        own = [part[0] for part in found]
        assert max(own) - min(own) < 0.35

    def test_a_telling_figure_is_found(self) -> None:
        rows = random_rows(40, 4, 1, telling=2.0)
        assert pooled(rows, held_out(rows, ["a", "b"], ridge=1.0)) > 0.85

    def test_it_depends_on_the_seed_alone(self) -> None:
        rows = random_rows(15, 3, 2, telling=1.0)
        assert held_out(rows, ["a"], ridge=1.0, seed=5) == held_out(rows, ["a"], ridge=1.0, seed=5)

    @pytest.mark.parametrize("questions", [2, 3, 9, 11])
    def test_fewer_questions_than_folds(self, questions: int) -> None:
        rows = [[Row({"a": 1.0}, True), Row({"a": 0.0}, False)]] * questions
        assert [len(part) for part in held_out(rows, ["a"], ridge=1.0)] == [2] * questions

    def test_a_question_without_rows_has_none(self) -> None:
        rows = [[Row({"a": 1.0}, True), Row({"a": 0.0}, False)], [], [Row({"a": 1.0}, True), Row({"a": 0.0}, False)]]
        assert [len(part) for part in held_out(rows, ["a"], ridge=1.0)] == [2, 0, 2]

    @pytest.mark.parametrize(
        "rows", [[], [[Row({"a": 1.0}, True)]], [[Row({"a": 1.0}, True)], [Row({"a": 2.0}, True)]]]
    )
    def test_one_kind_alone_cannot_be_fitted(self, rows: list[list[Row]]) -> None:
        with pytest.raises(ValueError):
            fit_rows(rows, [question("5", ("5", 0.5))] * len(rows), ["a"], calibrated_on="a test")


class TestFitRows:
    BANK = tuple(
        question("5", ("5", 0.9), ("7", 0.2), ("5", 0.8), (None, None), id=f"q{number}") for number in range(6)
    )
    EXAMPLES = tuple(example("5", id=f"q{number}") for number in range(6))

    def test_rows_are_readable_attempts_or_answers(self) -> None:
        per_attempt = attempt_rows(self.BANK, self.EXAMPLES)
        assert [len(group) for group in per_attempt] == [3] * 6
        per_answer = answer_rows(self.BANK, self.EXAMPLES, lambda item: [0.5] * 4, {"other": "s"})
        assert [[row.right for row in group] for group in per_answer] == [[True, False]] * 6
        assert per_answer[0][0].figures["other"] == pytest.approx(0.85)
        assert per_answer[0][0].figures["share"] == pytest.approx(2 / 3)

    def test_the_model_says_how_it_did_on_questions_it_had_not_seen(self) -> None:
        rows = answer_rows(self.BANK, self.EXAMPLES, lambda item: [0.5] * 4, {"other": "s"})
        found = fit_rows(rows, self.BANK, ["share", "other"], calibrated_on="a test", scorers={"other": "s"})
        assert isinstance(found.model, LogisticModel) and found.model.scorers == {"other": "s"}
        assert found.model.auroc == found.pooled.value == found.within.value == 1.0
        assert found.chosen == (1.0,) * 6 and found.gain.value == 0.0
