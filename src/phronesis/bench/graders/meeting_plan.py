"""A day's plan of meetings: its steps out of a reply, and what becomes of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from phronesis.bench.graders.clock import TIME, clock_of, minutes_of
from phronesis.tools.code_answers import fenced

_SENTENCE = re.compile(r"(?i)\byou\s+(start|travel|wait|meet)\b")
_HEADING = re.compile(r"(?i)solution\W{0,4}:")
_TIME = re.compile(TIME)
_TO = re.compile(r"(?i)\bto\b")
_LONGEST = 300
"""Characters of a step's sentence."""


@dataclass(frozen=True, slots=True)
class Friend:
    """Where and when somebody can be met, in minutes of the day."""

    place: str
    start: int
    end: int
    minutes: int
    """The least length of the meeting."""


@dataclass(frozen=True, slots=True)
class Day:
    """What a plan is held against. Names of places and people in small letters."""

    place: str
    start: int
    friends: Mapping[str, Friend]
    travel: Mapping[str, Mapping[str, float]]
    """Minutes from a place to another."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a plan."""

    kind: Literal["travel", "wait", "meet"]
    to: str | int | None
    """The place, the minute, or the person; None = the sentence names none that is known."""


def steps_of(text: str, day: Day) -> list[Step]:
    """The steps of a reply: of a JSON list of {location, person_name, start_time}, else of the sentences ``You travel /
    wait / meet`` behind the last ``SOLUTION:``. Empty = there is no plan."""
    listed = _listed(text)
    if listed is not None:
        return [step for meeting in listed for step in _of_meeting(meeting, day)]
    heading = list(_HEADING.finditer(text))
    text = text[heading[-1].end() :] if heading else text
    found = list(_SENTENCE.finditer(text))
    ends = [*(later.start() for later in found[1:]), len(text)]
    said = [(one[1].lower(), text[one.end() : end][:_LONGEST]) for one, end in zip(found, ends, strict=False)]
    return [step for verb, rest in said if (step := _of_sentence(verb, rest.partition("\n")[0], day)) is not None]


def _of_sentence(verb: str, rest: str, day: Day) -> Step | None:
    if verb == "travel":
        toward = _TO.search(rest)
        return Step("travel", _first_known(rest[toward.end() :] if toward else rest, day.travel))
    if verb == "wait":
        time = _TIME.search(rest)
        return Step("wait", minutes_of(time[0]) if time else None)
    return Step("meet", _first_known(rest, day.friends)) if verb == "meet" else None


def _first_known(text: str, names: Iterable[str]) -> str | None:
    """The known name that stands first in the text, the longest of those that begin there."""
    text = " ".join(text.split()).casefold().replace("’", "'")
    places = [(at, -len(name), name) for name in names if (at := text.find(name)) >= 0]
    return min(places)[2] if places else None


def _listed(text: str) -> list[Mapping[str, Any]] | None:
    """The JSON list of meetings in the text, if there is one."""
    pieces = [*[content for _, content in fenced(text)][-1:], text]
    for piece in pieces:
        start, end = piece.find("["), piece.rfind("]")
        try:
            value = json.loads(piece[start : end + 1]) if 0 <= start < end else None
        except (ValueError, RecursionError):
            continue
        if isinstance(value, list) and value and all(isinstance(one, dict) and "person_name" in one for one in value):
            return value
    return None


def _of_meeting(meeting: Mapping[str, Any], day: Day) -> list[Step]:
    time = minutes_of(str(meeting.get("start_time")))
    place = _first_known(str(meeting.get("location", "")), day.travel)
    return [
        Step("travel", place),
        Step("wait", time),
        Step("meet", _first_known(str(meeting["person_name"]), day.friends)),
    ]


def meetings(steps: Sequence[Step], day: Day) -> tuple[int, str]:
    """(valid meetings up to the first invalid step, what was wrong with that one; empty = nothing).

    Travelling to where one is takes no time. A meeting begins when the plan has come to it and takes its least
    length."""
    place, now, met = day.place, float(day.start), set[str]()
    for number, step in enumerate(steps, start=1):
        why = _hindrance(step, place, now, met, day)
        if why:
            return len(met), f"step {number}: {why}"
        match step:
            case Step("travel", str(to)):
                now += _minutes(day, place, to) or 0.0
                place = to
            case Step("wait", int(until)):
                now = float(until)
            case Step("meet", str(person)):
                now += day.friends[person].minutes
                met.add(person)
    return len(met), ""


def _hindrance(step: Step, place: str, now: float, met: set[str], day: Day) -> str:
    """Why the step cannot be made here and now; empty when it can."""
    match step:
        case Step("travel", str(to)):
            return "" if _minutes(day, place, to) is not None else f"there is no way from {place} to {to}"
        case Step("wait", int(until)):
            return "" if until >= now else f"it is {clock_of(int(now))}, past {clock_of(until)}"
        case Step("meet", str(person)):
            friend = day.friends[person]
            if person in met:
                return f"{person} has been met"
            if place != friend.place:
                return f"{person} is at {friend.place}, not at {place}"
            late = now + friend.minutes > friend.end
            return f"{person} cannot be met from {clock_of(int(now))} on" if now < friend.start or late else ""
        case _:
            return f"nothing known to {step.kind}"


def _minutes(day: Day, place: str, to: str) -> float | None:
    return 0.0 if place == to else day.travel.get(place, {}).get(to)
