"""Constraints of a meeting, read from a question of NATURAL PLAN's form, and whether a slot keeps them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from phronesis.bench.graders.clock import minutes_of

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_DAY = rf"(?:{'|'.join(DAYS)})"
_HEAD = re.compile(
    r"(?i)for (half an hour|an hour|one hour|\d+ minutes|\d+ hours) between the work hours of "
    rf"(\d+:\d\d) to (\d+:\d\d) on (?:either )?({_DAY}(?:(?:, | or |, or ){_DAY})*)"
)
_BUSY = re.compile(rf"(?i)\b({_DAY}) during (\d+:\d\d to \d+:\d\d(?:, \d+:\d\d to \d+:\d\d)*)")
_WISH = re.compile(
    r"(?i)\b(?:would rather not meet|would like to avoid more meetings|can ?not meet|can't meet|do(?:es)? not want to meet)"
    rf" on ({_DAY}(?: (?:before|after) \d+:\d\d)?(?:(?:\. |, | or | and ){_DAY}(?: (?:before|after) \d+:\d\d)?)*)"
)
_PART = re.compile(rf"(?i)({_DAY})(?: (before|after) (\d+:\d\d))?")
_QUOTED = re.compile(r'"[^"]{0,200}"')
_TIMED = re.compile(rf"(?i)\b{_DAY}\b|\d+:\d\d")
_EARLIEST = re.compile(r"(?i)at their earl\w+ availability")
_STEP = 30
"""Minutes between two starts that are tried for the earliest slot."""
_LENGTHS = {"half an hour": 30, "an hour": 60, "one hour": 60}


@dataclass(frozen=True, slots=True)
class Slot:
    """A time on a day, in minutes since midnight."""

    day: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the question asks for."""

    length: int
    open: int
    close: int
    days: tuple[str, ...]
    """In the order of the week."""
    taken: tuple[Slot, ...]
    """What the slot may not touch: meetings, and what somebody would rather not have."""
    earliest: bool


def free_slot(question: str, slot: Slot) -> bool | None:
    """Whether the slot keeps every constraint of the question; None when the question is of another form."""
    wanted = read_question(question)
    if wanted is None:
        return None
    if not _fits(wanted, slot):
        return False
    return slot == next(_slots(wanted)) if wanted.earliest else True


def read_question(question: str) -> Wanted | None:
    """The constraints of a question; None when a day or a time in it, outside of quotes, belongs to no sentence that is
    known.

    Preferences ("would rather not") count like the rest, as they do for the data set's gold slots."""
    question = _QUOTED.sub("", question)
    head = _HEAD.search(question)
    rest = _WISH.sub("", _BUSY.sub("", _HEAD.sub("", question, count=1)))
    if head is None or _TIMED.search(rest):
        return None
    number = re.match(r"\d+", head[1])
    length = _LENGTHS.get(head[1].lower()) or int(number[0] if number else 0) * (60 if "hour" in head[1] else 1)
    open, close = _time(head[2]), _time(head[3])
    days = sorted({day.lower() for day in re.findall(rf"(?i){_DAY}", head[4])}, key=DAYS.index)
    taken = []
    for day, times in _BUSY.findall(question):
        for span in times.split(", "):
            start, end = span.split(" to ")
            taken.append(Slot(day.lower(), _time(start), _time(end)))
    for wish in _WISH.findall(question):
        for day, side, time in _PART.findall(wish):
            start = _time(time) if side.lower() == "after" else 0
            end = _time(time) if side.lower() == "before" else 24 * 60
            taken.append(Slot(day.lower(), start, end))
    return Wanted(length, open, close, tuple(days), tuple(taken), _EARLIEST.search(question) is not None)


def _time(text: str) -> int:
    return minutes_of(text) or 0


def _fits(wanted: Wanted, slot: Slot) -> bool:
    inside = wanted.open <= slot.start and slot.end <= wanted.close and slot.end - slot.start == wanted.length
    free = all(slot.day != other.day or slot.end <= other.start or other.end <= slot.start for other in wanted.taken)
    return inside and free and slot.day in wanted.days


def _slots(wanted: Wanted) -> Iterator[Slot]:
    """Free slots from the earliest on."""
    for day in wanted.days:
        for start in range(wanted.open, wanted.close, _STEP):
            if _fits(wanted, found := Slot(day, start, start + wanted.length)):
                yield found
