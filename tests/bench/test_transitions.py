"""Rounds of a verification loop: who was mended, who was spoiled, when it stops paying; and ways read from Results."""

from __future__ import annotations

from typing import Any

import pytest

from phronesis.bench.analysis_rounds import way_of
from phronesis.bench.metrics.transitions import Way, transitions
from phronesis.core.result import Candidate, Result

R, W = True, False


class TestCounts:
    def test_rates_of_each_round(self) -> None:
        found = transitions([Way((W, R)), Way((W, W)), Way((W, R)), Way((W, W)), Way((R, W)), Way((R,))])
        first, second = found.rounds
        assert (first.accuracy, first.to_right, first.to_wrong) == (pytest.approx(1 / 3), None, None)
        assert (second.to_right, second.to_wrong, second.accuracy) == (0.5, 0.5, 0.5)
        assert (found.corrections, found.over_corrections, found.net) == (2, 1, 1)

    def test_a_loop_that_ended_keeps_its_answer(self) -> None:
        found = transitions([Way((R,)), Way((W, W, R))])
        assert [item.accuracy for item in found.rounds] == [0.5, 0.5, 1.0]
        assert [item.was_right for item in found.rounds] == [0, 1, 1]

    def test_what_changes_twice_is_a_change_in_rounds_and_none_in_all(self) -> None:
        found = transitions([Way((R, W, R))])
        assert [item.spoiled for item in found.rounds] == [0, 1, 0] and found.rounds[2].corrected == 1
        assert (found.corrections, found.over_corrections) == (0, 0)

    def test_accuracy_changes_by_what_is_mended_less_what_is_spoiled(self) -> None:
        found = transitions([Way((W, R, W)), Way((W, W, R)), Way((R, R, W)), Way((R, W, W))])
        for before, now in zip(found.rounds, found.rounds[1:], strict=False):
            assert now.right - before.right == now.corrected - now.spoiled

    def test_the_first_round_that_spoils_more_than_it_corrects(self) -> None:
        ways = [Way((W, R, W)), Way((W, R, R)), Way((R, W, W)), Way((R, R, W))]
        found = transitions(ways)
        assert found.rounds[1].pays and found.stops_paying == 2
        second, before = found.rounds[2], found.rounds[1].accuracy
        assert second.to_right is not None and second.to_wrong is not None
        assert second.to_right * (1 - before) < second.to_wrong * before, "the paper's rule"
        assert transitions([Way((R, R)), Way((W, W))]).stops_paying is None

    def test_verdicts_by_round(self) -> None:
        ways = [
            Way((R,), ("accept",), (True,)),
            Way((W, R), ("reject", "accept"), (False, True)),
            Way((W, W), ("accept",), (False,)),
            Way((W, W), ("unknown", None), (False, False)),
        ]
        first, second = transitions(ways).rounds
        assert (first.judged, first.accepted, first.accepted_right, first.unknown) == (4, 2, 1, 1)
        assert (first.accept_rate, first.accepted_precision) == (0.5, 0.5)
        assert (second.judged, second.accepted, second.accept_rate) == (1, 1, 1.0)

    @pytest.mark.parametrize("ways", [[], [Way(())]])
    def test_nothing_to_count_is_refused(self, ways: list[Way]) -> None:
        with pytest.raises(ValueError, match="at least one"):
            transitions(ways)


def result(*rounds: tuple[str | None, str | None, float | None], answer: str | None, unjudged: int = 0) -> Result:
    """A Result of a loop from (answer, label, figure) by round; ``None`` as label: the verification failed."""
    candidates, decisions = [], []
    for number, (said, label, figure) in enumerate(rounds):
        id = f"{f'v{number}/' if number else ''}c0"
        candidates.append(Candidate(id=id, text="?", answer=said, status="ok" if said else "unparsable"))
        of = id if said else ""
        if label and said:
            decisions.append(
                {"type": "decision", "key": f"verdict{number}", "rule": "verdict", "of": id, "label": label}
            )
        if number < len(rounds) - unjudged:
            decision = "accept" if label == "accept" else "continue"
            shown: dict[str, Any] = {"rule": "assessment", "round": number + 1, "decision": decision, "of": of}
            shown |= {"score": figure} if figure is not None else {}
            decisions.append({"type": "decision", "key": f"assessment{number + 1}", **shown})
    return Result(task_id="q", status="ok", answer=answer, candidates=tuple(candidates), decisions=tuple(decisions))


def way(made: Result, *, fallback: str = "best_score") -> Way:
    """Its way where 5 is right."""
    answers = {None: made.answer, **{item.id: item.answer for item in made.candidates}}
    return way_of(made, lambda id: answers[id] == "5", fallback=fallback)


class TestWays:
    def test_the_best_so_far_stands(self) -> None:
        made = result(("5", "reject", 0.4), ("7", "reject", 0.2), ("7", "reject", 0.3), answer="5")
        assert way(made).right == (True, True, True)
        assert way(made).labels == ("reject",) * 3 and way(made).newest == (True, False, False)

    def test_the_last_stands_where_the_recipe_says_so(self) -> None:
        made = result(("5", "reject", 0.4), ("7", "reject", 0.2), answer="7")
        assert way(made, fallback="last").right == (True, False)

    def test_the_later_of_equals_stands(self) -> None:
        assert way(result(("5", "reject", 0.2), ("7", "reject", 0.2), answer="7")).right == (True, False)

    def test_an_accepted_attempt_stands_whatever_came_before(self) -> None:
        made = result(("7", "reject", 0.9), ("5", "accept", 0.5), answer="5")
        assert way(made).right == (False, True)

    def test_an_unreadable_attempt_changes_nothing(self) -> None:
        made = result(("5", "reject", 0.1), (None, None, None), ("7", "reject", 0.05), answer="5")
        assert way(made).right == (True, True, True) and way(made).labels == ("reject", None, "reject")

    def test_nothing_that_can_be_read_is_wrong(self) -> None:
        assert way(result((None, None, None), ("5", "accept", 1.0), answer="5")).right == (False, True)

    def test_a_verification_that_failed_counts_lowest(self) -> None:
        made = result(("7", "reject", 0.1), ("5", None, None), answer="7")
        assert way(made).right == (False, False) and way(made).labels == ("reject", None)
        assert way(result(("7", "unknown", None), ("5", "unknown", None), answer="5")).right == (False, True)

    def test_a_last_attempt_that_nobody_judged_is_a_round_of_its_own(self) -> None:
        made = result(("5", "reject", 0.3), ("7", None, None), answer="5", unjudged=1)
        assert way(made).right == (True, True)
        assert way(made.model_copy(update={"answer": "7"}), fallback="last").right == (True, False)

    def test_a_failed_run_is_one_wrong_round(self) -> None:
        made = Result(task_id="q", status="failed", answer=None)
        assert way_of(made, lambda id: False, fallback="best_score") == Way((False,), (), ())

    def test_the_loop_of_the_strategy_inside_is_not_the_loop_around_it(self) -> None:
        made = result(("7", "reject", 0.2), ("5", "accept", 0.9), answer="5")
        shown = {"type": "decision", "rule": "assessment", "decision": "continue"}
        inside = tuple({**shown, "key": f"assessment{number}", "of": f"c0.r{number}"} for number in (1, 2, 3))
        later = {"type": "decision", "key": "v1/assessment1", "of": "v1/c0", "decision": "accept"}
        outer = (*made.decisions[:2], later, *made.decisions[2:])
        assert way(made.model_copy(update={"decisions": (*inside, *outer)})).right == (False, True)
