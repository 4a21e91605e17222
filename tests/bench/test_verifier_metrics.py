"""Verdicts on labelled attempts: the paper's figures, unknown verdicts, verifiers that always say the same."""

from __future__ import annotations

import math

import pytest

from phronesis.bench.metrics.verdicts import Judged, VerdictCounts, count_verdicts
from phronesis.bench.scorer_report import GradedQuestion, report
from phronesis.core.result import Candidate


def counts(*, right: tuple[int, int, int] = (0, 0, 0), wrong: tuple[int, int, int] = (0, 0, 0)) -> VerdictCounts:
    """From (accepted, rejected, unknown)."""
    labels = (True, False, None)
    judged: list[Judged] = []
    for kind, numbers in ((True, right), (False, wrong)):
        judged += [(label, kind) for label, number in zip(labels, numbers, strict=True) for _ in range(number)]
    return count_verdicts(judged)


@pytest.mark.parametrize(
    ("right", "wrong", "figures"),
    [
        ((38, 10, 0), (12, 30, 0), (75.00, 71.43, 75.56, 73.17)),
        ((48, 0, 0), (36, 6, 0), (100.00, 14.29, 60.00, 25.00)),
        ((45, 3, 0), (22, 20, 0), (86.96, 47.62, 72.22, 61.54)),
    ],
)
def test_deepverifiers_meta_evaluation(
    right: tuple[int, int, int], wrong: tuple[int, int, int], figures: tuple[float, ...]
) -> None:
    found = counts(right=right, wrong=wrong)
    shares = (found.precision, found.recall, found.accuracy, found.f1)
    assert tuple(round(100 * share, 2) for share in shares) == figures


def test_f1_is_the_harmonic_mean() -> None:
    found = counts(right=(7, 3, 0), wrong=(4, 6, 0))
    assert found.f1 == pytest.approx(2 * found.precision * found.recall / (found.precision + found.recall))


def test_an_unknown_verdict_is_never_right() -> None:
    found = counts(right=(6, 2, 2), wrong=(1, 5, 4))
    assert (found.accepts_right, found.accepts_wrong, found.recall) == (0.6, 0.1, 0.5)
    assert found.balanced == pytest.approx(0.55) and found.accuracy == pytest.approx(0.55)
    assert found.unknown == pytest.approx(0.3) and found.precision == pytest.approx(5 / 7)


def test_what_there_is_nothing_to_count_of_is_nan() -> None:
    none, only_right = counts(), counts(right=(3, 1, 0))
    assert all(math.isnan(value) for value in (none.balanced, none.f1, none.unknown, none.accuracy))
    assert math.isnan(only_right.balanced) and math.isnan(only_right.recall) and only_right.accepts_right == 0.75
    assert math.isnan(counts(right=(3, 0, 0), wrong=(3, 0, 0)).precision)
    assert counts(right=(3, 0, 0), wrong=(3, 0, 0)).f1 == 0.0


class TestSameness:
    def test_yes_to_nearly_everything(self) -> None:
        found = counts(right=(50, 0, 0), wrong=(49, 1, 0))
        assert found.sameness == "accepts 98 % of the wrong attempts: it says yes to nearly everything"
        assert found.balanced == pytest.approx(0.51)

    def test_no_to_nearly_everything(self) -> None:
        found = counts(right=(1, 19, 0), wrong=(0, 20, 0))
        assert found.sameness == "rejects 95 % of the right attempts: it says no to nearly everything"

    def test_no_verdict_on_nearly_anything(self) -> None:
        assert counts(right=(1, 0, 19), wrong=(0, 0, 20)).sameness == "has no verdict on 98 % of the attempts"

    def test_a_verifier_that_tells_them_apart_is_not_named(self) -> None:
        assert counts(right=(20, 0, 0), wrong=(0, 20, 0)).sameness == ""
        assert counts(right=(20, 0, 0), wrong=(15, 5, 0)).sameness == ""

    def test_few_attempts_show_nothing(self) -> None:
        assert counts(right=(9, 0, 0), wrong=(9, 0, 0)).sameness == ""

    def test_a_good_verifier_of_mostly_right_attempts_is_not_named(self) -> None:
        assert counts(right=(95, 0, 0), wrong=(1, 9, 0)).sameness == ""


def question(id: str, *pairs: tuple[bool, float | None]) -> GradedQuestion:
    made = tuple(
        Candidate(id=f"c{index}", text="?", answer=f"{index}", scores={"s": figure})
        for index, (_, figure) in enumerate(pairs)
    )
    return GradedQuestion(id, made, tuple(right for right, _ in pairs))


class TestInTheReport:
    def test_the_threshold_is_the_scorers_own(self) -> None:
        bank = [question(str(number), (True, 0.7), (False, 0.6)) for number in range(12)]
        strict, lax = report(bank, "s", accept=2 / 3), report(bank, "s")
        assert (strict.balanced.value, lax.balanced.value) == (1.0, 0.5)
        assert lax.verdicts.sameness and not strict.verdicts.sameness
        assert strict.pooled.value == lax.pooled.value == 1.0

    def test_a_figure_at_the_threshold_is_accepted(self) -> None:
        assert report([question("a", (True, 0.5), (False, 0.49))], "s").balanced.value == 1.0

    def test_an_unreadable_attempt_is_no_verdict(self) -> None:
        silent = Candidate(id="c1", text="?", status="unparsable", scores={"s": 0.9})
        good = Candidate(id="c0", text="5", answer="5", scores={"s": 0.9})
        found = report([GradedQuestion("a", (good, silent), (True, False))], "s")
        assert (found.scored, found.verdicts.right, found.verdicts.wrong) == (2, 1, 0)

    def test_the_interval_is_over_questions(self) -> None:
        bank = [question(str(n), (True, 0.9), (False, 0.9 if n % 2 else 0.1)) for n in range(40)]
        found = report(bank, "s").balanced
        assert found.value == 0.75 and 0.6 < found.low < 0.75 < found.high < 0.9
        assert report(bank, "s").balanced == found, "the same draws every time"

    def test_json_holds_every_figure(self) -> None:
        data = report([question("a", (True, None), (False, 0.1))], "s", accept=0.4).to_json()
        assert (data["accept"], data["unknown"], data["recall"], data["precision"]) == (0.4, 0.5, 1.0, 1.0)
        assert data["verdicts"]["unknown_right"] == 1 and data["balanced"][0] == 0.5

    def test_a_few_mixed_questions_do_not_decide_what_ranks(self) -> None:
        """Labelled sets mostly hold one attempt a question: the pooled area says more than two odd questions."""
        single = [question(str(n), (n % 2 == 0, 0.9 if n % 2 == 0 else 0.1)) for n in range(60)]
        odd = [question(f"m{n}", (True, 0.2), (False, 0.3)) for n in range(2)]
        found = report([*single, *odd], "s")
        assert found.within.value == 0.0 and found.area == found.pooled and not found.at_chance
        assert report(odd, "s").at_chance
