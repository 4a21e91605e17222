"""The graders ``trip``, ``meeting`` and ``calendar``: plans read, followed and compared."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phronesis.bench.dataset import Example
from phronesis.bench.graders.calendar import ByCalendar
from phronesis.bench.graders.clock import clock_of, minutes_of
from phronesis.bench.graders.grader import WRONG, Attempted, Grade, Grader
from phronesis.bench.graders.meeting import ByMeetings
from phronesis.bench.graders.trip import ByTrip
from phronesis.core.errors import ConfigurationError
from phronesis.core.task import Message, Task

HOSTILE = ["Day 1-" * 40_000, "You meet " * 40_000, "[" * 200_000, "Monday, " * 30_000, "from a to " * 30_000, "\x00\ud800",
           "SOLUTION:" * 30_000, "1:" * 90_000, "Day 99999999999-3: in X", "day\n" * 50_000]  # fmt: skip


def example(question: str = "q", **facts: Any) -> Example:
    return Example(Task(messages=(Message(role="user", content=question),), id="e1"), "gold", facts=facts)


def graded(grader: Grader, row: Example, text: str) -> Grade:
    grader.check(row)
    return asyncio.run(grader.grade(row, Attempted(None, text)))


def refused(grader: Grader, row: Example) -> str:
    with pytest.raises(ConfigurationError) as raised:
        grader.check(row)
    assert "'e1'" in raised.value.message
    return raised.value.message


class TestTrip:
    ROW = example(plan=[["Split", 7], ["Frankfurt", 2], ["Reykjavik", 3]])
    PLAN = (
        "Here is the trip plan for visiting the 3 European cities for 10 days:\n\n"
        "**Day 1-7:** Arriving in Split and visit Split for 7 days.\n**Day 7:** Fly from Split to Frankfurt.\n"
        "**Day 7-8:** Visit Frankfurt for 2 days.\n**Day 8:** Fly from Frankfurt to Reykjavik.\n"
        "**Day 8-10:** Visit Reykjavik for 3 days."
    )

    def grade(self, text: str) -> Grade:
        return graded(ByTrip(), self.ROW, text)

    @pytest.mark.parametrize(
        "text",
        [
            PLAN,
            PLAN.replace("*", "").casefold(),
            "Day 1-7: Visit Split for 7 days.\nDay 7-8: Visit Frankfurt.\nDay 8-10: Stay in Reykjavik for 3 days.",
            "Days 1 – 7: Explore Split.\nDay 7: Flight from Split to Frankfurt\nDays 7 to 8: Frankfurt\n"
            "Day 8: fly from Frankfurt to Reykjavik by noon.\nDays 8-10: Reykjavik\n\nA trip from Split to Reykjavik.",
            "Maybe:\nDay 1-3: Visit Reykjavik.\nDay 3: Fly from Reykjavik to Split.\nDay 3-10: Visit Split.\n\nNo. "
            + PLAN,
        ],
    )
    def test_the_gold_plan_in_other_words_is_right(self, text: str) -> None:
        found = self.grade(text)
        assert found.correct, found.read
        assert found.figures == {"stays": 1.0}

    @pytest.mark.parametrize(
        ("old", "new", "stays"),
        [
            ("Frankfurt", "Paris", 2 / 3),
            ("Day 8:** Fly", "Day 9:** Fly", 1 / 3),
            ("Day 8-10", "Day 8-11", 2 / 3),
            ("\n**Day 8:** Fly from Frankfurt to Reykjavik.\n**Day 8-10:** Visit Reykjavik for 3 days.", "", 2 / 3),
        ],
    )
    def test_another_plan_is_wrong(self, old: str, new: str, stays: float) -> None:
        found = self.grade(self.PLAN.replace(old, new))
        assert not found.correct and found.parsed
        assert found.figures["stays"] == pytest.approx(stays)

    @pytest.mark.parametrize("text", ["", "I cannot plan this.", "Fly from Split to Frankfurt."])
    def test_without_a_plan_it_is_unparsable(self, text: str) -> None:
        assert self.grade(text) == WRONG

    @pytest.mark.parametrize("text", HOSTILE)
    def test_hostile_texts_are_only_wrong(self, text: str) -> None:
        assert not self.grade(text).correct

    @pytest.mark.parametrize("plan", [None, [], [["Split"]], [["Split", "7"]], [["", 7]], [["Split", 0]], "Split 7"])
    def test_a_row_that_cannot_be_graded_is_named(self, plan: Any) -> None:
        assert "plan" in refused(ByTrip(), example(plan=plan))


FACTS: dict[str, Any] = {
    "constraints": [
        ["Old Pier", "9:00AM"],
        ["Ann", "Nob Hill", "10:00AM to 11:30AM", 60],
        ["Ben", "The Castro", "11:00AM to 2:00PM", 30],
        ["Cleo", "Old Pier", "9:00AM to 9:30AM", 45],
    ],
    "dist_matrix": {
        "Old Pier": {"Nob Hill": 11, "The Castro": 20},
        "Nob Hill": {"Old Pier": 11, "The Castro": 15},
        "The Castro": {"Old Pier": 20, "Nob Hill": 15},
    },
    "golden_plan": [
        "You start at Old Pier at 9:00AM.",
        "You travel to Nob Hill in 11 minutes and arrive at 9:11AM.",
        "You wait until 10:00AM.",
        "You meet Ann for 60 minutes from 10:00AM to 11:00AM.",
        "You travel to The Castro in 15 minutes and arrive at 11:15AM.",
        "You meet Ben for 30 minutes from 11:15AM to 11:45AM.",
    ],
}


class TestMeeting:
    def grade(self, text: str) -> Grade:
        return graded(ByMeetings(), example(**FACTS), text)

    @pytest.mark.parametrize(
        "text",
        [
            "SOLUTION: " + " ".join(FACTS["golden_plan"]),
            "\n".join(f"- {step}" for step in FACTS["golden_plan"]).replace("The Castro", "the Castro"),
            "You meet Ben first? No.\n\n**SOLUTION:**\n" + "\n".join(FACTS["golden_plan"]),
            json.dumps(
                [
                    {"location": "Nob Hill", "person_name": "Ann", "start_time": "10:15AM"},
                    {"location": "The Castro", "person_name": "Ben", "start_time": "12:00"},
                ]
            ),
            '```json\n[{"person_name": "ann", "location": "nob hill", "start_time": "10:00 am"},'
            ' {"person_name": "Ben", "location": "The Castro", "start_time": "1 PM"}]\n```\nTwo friends [of three].',
        ],
    )
    def test_as_many_meetings_as_the_golden_plan_are_right(self, text: str) -> None:
        found = self.grade(text)
        assert found.correct, found.read
        assert found.figures == {"meetings": 2.0}

    @pytest.mark.parametrize(
        ("text", "meetings", "says"),
        [
            ("You travel to Nob Hill. You meet Ann.", 0, "ann cannot be met from 9:11"),
            ("You travel to Nob Hill. You wait until 10:00AM. You meet Ann. You meet Ann.", 1, "ann has been met"),
            ("You travel to Nob Hill. You wait until 10:00AM. You meet Ann. You meet Ben.", 1, "ben is at the castro"),
            ("You travel to Nob Hill. You wait until 9:05AM. You meet Ann.", 0, "past 9:05"),
            (
                "You travel from Old Pier to The Castro. You wait until 11:00AM. You meet Ben. You travel to Nob Hill. "
                "You meet Ann.",
                1,
                "ann cannot be met from 11:45 on",
            ),
            ("You travel to the Moon. You meet Ann.", 0, "nothing known to travel"),
            ("You wait until noon. You travel to Nob Hill.", 0, "nothing known to wait"),
            ("You meet Dora.", 0, "nothing known to meet"),
            ("You meet Cleo.", 0, "cleo cannot be met"),
            ('[{"location": "Nob Hill", "person_name": "Ann", "start_time": "9:05AM"}]', 0, "past 9:05"),
            ('[{"location": "Nob Hill", "person_name": "Ann"}]', 0, "nothing known to wait"),
        ],
    )
    def test_counting_stops_at_the_first_invalid_step(self, text: str, meetings: int, says: str) -> None:
        found = self.grade(text)
        assert not found.correct and found.parsed
        assert found.figures == {"meetings": float(meetings)} and says in found.read

    @pytest.mark.parametrize("text", ["", "Ann at ten, then Ben.", "[1, 2]", "[{}]"])
    def test_without_a_plan_it_is_unparsable(self, text: str) -> None:
        assert self.grade(text) == WRONG

    @pytest.mark.parametrize("text", HOSTILE)
    def test_hostile_texts_are_only_wrong(self, text: str) -> None:
        assert not self.grade(text).correct

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("constraints", None),
            ("constraints", [["Old Pier", "9:00AM"]]),
            ("constraints", [["Old Pier", "dawn"], *FACTS["constraints"][1:]]),
            ("constraints", [["Old Pier", "9:00AM"], ["Ann", "Nob Hill", "late", 60]]),
            ("dist_matrix", None),
            ("dist_matrix", {"Old Pier": 3}),
            ("dist_matrix", {"Old Pier": {"Nob Hill": "far"}}),
            ("golden_plan", None),
            ("golden_plan", ["You meet Ann."]),
            ("golden_plan", ["You rest."]),
        ],
    )
    def test_a_row_that_cannot_be_graded_is_named(self, name: str, value: Any) -> None:
        assert name in refused(ByMeetings(), example(**{**FACTS, name: value}))


QUESTION = (
    "You need to schedule a meeting for Ann and Ben for half an hour between the work hours of 9:00 to 17:00 on either "
    "Monday or Tuesday. \n\nHere are the existing schedules for everyone during the days: \n"
    "Ann has blocked their calendar on Monday during 9:00 to 12:00, 13:00 to 17:00, Tuesday during 9:30 to 10:00;\n"
    "Ben has no meetings the whole week.\n\nBen would rather not meet on Tuesday before 10:00. {}"
)


class TestCalendar:
    def grade(self, text: str, question: str = "q") -> Grade:
        return graded(ByCalendar(), example(question, slot="Monday, 12:00 - 12:30"), text)

    @pytest.mark.parametrize(
        "text",
        ["Monday, 12:00 - 12:30", "Here it is: **Monday**, 12:00 – 12:30.", "monday from 12:00 PM to 12:30 pm",
         "Monday 12:00-12:30",
         "Monday, 12:00 - 12:30, not Tuesday, 10:00 - 10:30"],
    )  # fmt: skip
    def test_the_first_slot_is_compared(self, text: str) -> None:
        assert self.grade(text).correct

    @pytest.mark.parametrize(
        "text", ["Tuesday, 12:00 - 12:30", "Monday, 12:00 - 13:00", "Monday, 9:00 - 9:30 or Monday, 12:00 - 12:30"]
    )
    def test_another_slot_is_wrong(self, text: str) -> None:
        found = self.grade(text)
        assert not found.correct and found.parsed and found.figures == {"exact": 0.0}

    @pytest.mark.parametrize("text", ["", "Monday", "12:00 - 12:30", "Monday, 25:00 - 26:00", "Monday, 12:00"])
    def test_without_a_slot_it_is_unparsable(self, text: str) -> None:
        assert self.grade(text) == WRONG

    @pytest.mark.parametrize(
        ("slot", "valid"),
        [
            ("Monday, 12:00 - 12:30", 1.0),
            ("Monday, 12:30 - 13:00", 1.0),
            ("Tuesday, 16:30 - 17:00", 1.0),
            ("Monday, 12:00 - 13:00", 0.0),
            ("Monday, 13:00 - 13:30", 0.0),
            ("Tuesday, 9:00 - 9:30", 0.0),
            ("Tuesday, 17:00 - 17:30", 0.0),
            ("Wednesday, 12:00 - 12:30", 0.0),
        ],
    )
    def test_whether_a_slot_keeps_the_constraints_is_a_figure(self, slot: str, valid: float) -> None:
        assert self.grade(slot, QUESTION.format("Find a time.")).figures["valid"] == valid

    def test_the_earliest_slot_may_be_asked_for(self) -> None:
        question = QUESTION.format("The group would like to meet at their earlist availability.")
        assert self.grade("Monday, 12:00 - 12:30", question).figures["valid"] == 1.0
        assert self.grade("Monday, 12:30 - 13:00", question).figures["valid"] == 0.0

    def test_without_any_free_slot_none_is_valid(self) -> None:
        question = QUESTION.format("At their earliest availability.").replace("13:00 to 17:00", "12:00 to 17:00")
        question = question.replace("before 10:00", "after 9:00")
        assert self.grade("Monday, 12:00 - 12:30", question).figures["valid"] == 0.0

    @pytest.mark.parametrize("more", ["Ann leaves on Monday.", "Nobody works past 16:00."])
    def test_a_sentence_that_is_not_understood_leaves_the_figure_out(self, more: str) -> None:
        assert "valid" not in self.grade("Monday, 12:00 - 12:30", QUESTION.format(more)).figures

    def test_an_example_in_quotes_is_no_constraint(self) -> None:
        question = QUESTION.format('The answer looks like "Monday, 9:30 - 10:30".')
        assert self.grade("Monday, 12:00 - 12:30", question).figures["valid"] == 1.0

    @pytest.mark.parametrize("text", HOSTILE)
    def test_hostile_texts_are_only_wrong(self, text: str) -> None:
        assert not self.grade(text, QUESTION).correct

    @pytest.mark.parametrize("slot", [None, "", "noon", "Monday, 12:30 - 12:00"])
    def test_a_row_that_cannot_be_graded_is_named(self, slot: Any) -> None:
        assert "slot" in refused(ByCalendar(), example(slot=slot))


class TestClock:
    @given(st.integers(0, 24 * 60))
    def test_times_come_back(self, minutes: int) -> None:
        assert minutes_of(clock_of(minutes)) == minutes
        hour, minute = minutes // 60, minutes % 60
        if hour < 24:
            shown = f"{(hour - 1) % 12 + 1}:{minute:02d}{'PM' if hour >= 12 else 'AM'}"
            assert minutes_of(shown) == minutes

    @pytest.mark.parametrize("text", ["", "9", "24:01", "9:60", "13PM", "0:30 AM", "nine", "9:5"])
    def test_what_is_no_time(self, text: str) -> None:
        assert minutes_of(text) is None
