"""NATURAL PLAN: trips, meetings, calendars."""

from __future__ import annotations

from phronesis.bench.dataset import Example
from phronesis.bench.sets.adapter import Fields, example, items, text

_TRIP = """The answer is the plan, in lines like these:
Day 1-3: Arriving in A and visit A for 3 days.
Day 3: Fly from A to B.
Day 3-7: Visit B for 5 days."""
_MEETING = """The answer is the plan, in sentences like these:
You start at A at 9:00AM.
You travel to B in 12 minutes and arrive at 9:12AM.
You wait until 10:00AM.
You meet C for 30 minutes from 10:00AM to 10:30AM."""
_CALENDAR = 'The answer is the day and the time, as in "Monday, 9:30 - 10:30".'


def trip(fields: Fields) -> Example:
    """Cities in order with their days; grouped by number of cities."""
    answer = fields.get("answer")
    if not isinstance(answer, dict):
        raise ValueError(f"answer = {answer!r} is no object")
    cities, days = items(answer, "cities"), items(answer, "durations")
    if len(cities) != len(days):
        raise ValueError(f"answer has {len(cities)} cities and {len(days)} durations")
    plan = [[city, count] for city, count in zip(cities, days, strict=True)]
    question = f"{text(fields, 'question')}\n\n{_TRIP}"
    gold = ", ".join(f"{city} {count}" for city, count in plan)
    group = f"{len(cities)} cities"
    return example(fields, question, gold, format="text", grader="trip", facts={"plan": plan}, group=group)


def meeting(fields: Fields) -> Example:
    """As many friends as the golden plan meets; grouped by number of people."""
    plan = items(fields, "golden_plan")
    matrix = fields.get("dist_matrix")
    if not isinstance(matrix, dict):
        raise ValueError(f"dist_matrix = {matrix!r} is no object")
    facts = {"constraints": items(fields, "constraints"), "dist_matrix": matrix, "golden_plan": plan}
    question = f"{text(fields, 'question')}\n\n{_MEETING}"
    group = f"{text(fields, 'num_people')} people"
    return example(fields, question, " ".join(plan), format="text", grader="meeting", facts=facts, group=group)


def calendar(fields: Fields) -> Example:
    """The golden slot; grouped by people and days."""
    question, slot = f"{text(fields, 'question')}\n\n{_CALENDAR}", text(fields, "answer")
    group = f"{text(fields, 'num_people')} people, {text(fields, 'num_days')} days"
    return example(fields, question, slot, format="text", grader="calendar", facts={"slot": slot}, group=group)
