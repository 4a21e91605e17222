"""Numbers that a text claims and another one does not have: programs work them out, and feedback may have to keep them."""

from __future__ import annotations

import re

GAP = "____"
_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:,\d{3})+(?:\.\d+)?|(?<![\w.])-?\d+(?:\.\d+)?")


def numbers_in(text: str) -> tuple[str, ...]:
    """All numbers of a text, as written, in order."""
    return tuple(_NUMBER.findall(text))


def derived_numbers(text: str, task: str) -> tuple[str, ...]:
    """Numbers of a text that the task does not have, as written, in order."""
    known = {value_of(found) for found in _NUMBER.findall(task)}
    return tuple(found for found in _NUMBER.findall(text) if value_of(found) not in known)


def with_gap(claim: str, task: str, *, repeated: bool = False) -> tuple[str, float] | None:
    """The claim with a gap in the place of its last number that the task does not have, and that number; None where it has
    none. ``repeated``: its last number at all, for a claim that may come to a number of the task."""
    new = set(derived_numbers(claim, task))
    at = next((item for item in reversed(list(_NUMBER.finditer(claim))) if repeated or item[0] in new), None)
    return None if at is None else (f"{claim[: at.start()]}{GAP}{claim[at.end() :]}", value_of(at[0]))


def the_number(answer: str) -> float | None:
    """The value of an answer that is nothing but a number; else None."""
    found = _NUMBER.fullmatch(answer.strip())
    return None if found is None else value_of(found[0])


def value_of(number: str) -> float:
    """Of a number as written."""
    return float(number.replace(",", ""))


def masked(text: str, known: str) -> str:
    """The text with a gap in the place of every number that what is known does not have."""
    have = {value_of(found) for found in _NUMBER.findall(known)}
    return _NUMBER.sub(lambda found: found[0] if value_of(found[0]) in have else GAP, text)
