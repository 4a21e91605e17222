"""Trips between cities, read from a plan's lines and compared with the one that fits (NATURAL PLAN)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

from pydantic import BaseModel

from phronesis.bench.dataset import Example
from phronesis.bench.graders.by_answer import NoOptions
from phronesis.bench.graders.facts import needed, text_of, unfit
from phronesis.bench.graders.grader import WRONG, Attempted, Grade, GraderContext, graded
from phronesis.bench.graders.table import GraderEntry

_DAYS = re.compile(r"(?i)\bdays?\W{0,4}(\d{1,4})\s*(?:-|–|—|to|through)\s*(?:day\s*)?(\d{1,4})(?!\d)")
_DAY = re.compile(r"(?i)\bday\W{0,4}(\d{1,4})(?!\d)")
_FLIGHT = re.compile(r"(?i)\bfrom\s+(\w[\w .'’-]{0,60}?)\s+to\s+(\w[\w .'’-]{0,60})")
_STAY = re.compile(r"(?i)\b(?:visit(?:ing)?|stay(?:ing)? in|in|explore|at)\s+(\w[\w .'’-]{0,60})")
_HEADING = re.compile(r"(?i)here is the trip plan|solution\s*:|final (?:plan|answer)|trip plan\W*$")
_END = re.compile(r"(?i)\s+(?:for|by|on|and|at|in|with|to|from|early|late)\b.*|[.,;:(].*")

Plan = list[tuple[str, int]]
"""(city, days), in the order of the visits; a day of flight counts for both cities."""


class ByTrip:
    """Right when the whole list of (city, days) equals the gold one.

    Fact: ``plan`` ([[city, days], ...]). Read are the lines behind the last heading of a plan, up to the one that ends
    on the trip's last day. Where there are lines ``Day d: Fly from X to Y`` they give the order and the stays (the last
    one ends with the last ``Day a-b``); without them the lines ``Day a-b: ... visit X`` do. Figure ``stays``: the share
    of the gold list that stands at its place."""

    reads: Literal["answer", "text"] = "text"

    def check(self, example: Example) -> None:
        _gold(example)

    async def grade(self, example: Example, attempt: Attempted) -> Grade:
        gold = _gold(example)
        last = sum(days for _, days in gold) - len(gold) + 1
        found = plan_of(text_of(attempt), last)
        if not found:
            return WRONG
        wanted, given = ([(_folded(city), days) for city, days in plan] for plan in (gold, found))
        stays = sum(left == right for left, right in zip(wanted, given, strict=False)) / len(gold)
        return graded(given == wanted, ", ".join(f"{city} {days}" for city, days in found), stays=stays)

    async def close(self) -> None:
        pass


def _gold(example: Example) -> Plan:
    found = []
    for stay in needed(example, "plan", list):
        match stay:
            case [str(city), int(days)] | (str(city), int(days)) if city.strip() and days > 0:
                found.append((city, days))
            case _:
                raise unfit(example, "plan", f"{stay!r} is not [city, days]")
    return found


def plan_of(text: str, last_day: int) -> Plan:
    """The plan of a reply about a trip that ends on that day; empty when there is none."""
    lines = text.splitlines()
    first = max((number for number, line in enumerate(lines) if _HEADING.search(line)), default=0)
    return _read(lines[first:], last_day) or _read(lines, last_day)


def _read(lines: Sequence[str], last_day: int) -> Plan:
    flights: list[tuple[int, str, str]] = []
    stays: list[tuple[str, int, int]] = []
    for line in lines:
        flight, day, days = _FLIGHT.search(line), _DAY.search(line), _DAYS.search(line)
        if days is not None:
            place = _STAY.search(line, days.end())
            stays.append((_name(place[1]) if place else "", int(days[1]), int(days[2])))
            if int(days[2]) == last_day:
                break
        elif flight is not None and day is not None and flight.start() > day.start():
            flights.append((int(day[1]), _name(flight[1]), _name(flight[2])))
    if not stays:
        return []
    if not flights:
        return [(city, end - start + 1) for city, start, end in stays if city]
    cities = [flights[0][1], *(arrival for _, _, arrival in flights)]
    days_between = [1, *(day for day, _, _ in flights), stays[-1][2]]
    lengths = [end - start + 1 for start, end in pairwise(days_between)]
    return list(zip(cities, lengths, strict=True))


def _name(text: str) -> str:
    return _END.sub("", text).strip(" *_.")


def _folded(city: str) -> str:
    return " ".join(city.split()).casefold()


def _build(context: GraderContext, options: BaseModel) -> ByTrip:
    return ByTrip()


ENTRY = GraderEntry(
    name="trip",
    summary="a trip plan whose cities and stays equal the gold ones (NATURAL PLAN)",
    options=NoOptions,
    build=_build,
)
