"""The attempts of a task under ``[verify]``: what each brought, what was said of it, what the next one was told."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from rich.text import Text
from rich.tree import Tree

from phronesis.cli.plain import plain, plain_lines

Values = Mapping[str, Any]
RULES = ("verdict", "feedback", "assessment")
"""Decisions that are drawn with their attempt."""
_SAID = {"accept": "accepted", "reject": "rejected", "unknown": "unknown"}
_STYLES = {"accept": "green", "reject": "red", "unknown": "yellow"}
_ATTEMPT = re.compile(r"(?:v(\d+)/)?")
_CUT = 300


def attempt_of(id: str) -> int:
    """Number of the attempt that a candidate belongs to, from 0."""
    found = _ATTEMPT.match(id)
    return int(found[1] or 0) if found else 0


def verdict_line(item: Values) -> str:
    """``attempt 2: rejected (0.33): reason``, and whether a person said so."""
    score = "" if item.get("score") is None else f" ({item['score']:.2f})"
    person = (item.get("details") or {}).get("person") or {}
    by = "" if not person else ", approved by a person" if person["choice"] == "approve" else ", a person overruled"
    flips = "" if item.get("consistent", True) else ", contradicts itself"
    reason = plain(str(item.get("reason") or ""), _CUT)
    number = attempt_of(str(item.get("of", ""))) + 1
    return f"attempt {number}: {_SAID[item['label']]}{score}{flips}{by}{f': {reason}' if reason else ''}"


def opinion_line(item: Values) -> str:
    """``deep_verifier of c0: rejected (0.33): reason``: what a scorer noted about an attempt."""
    score = "" if item.get("score") is None else f" ({item['score']:.2f})"
    of = f" of {plain(str(item['of']))}" if item.get("of") else ""
    reason = plain(str(item.get("reason") or ""), _CUT)
    said = _SAID.get(str(item["label"]), plain(str(item["label"])))
    return f"{plain(str(item.get('rule', '')))}{of}: {said}{score}{f': {reason}' if reason else ''}"


def unjudged(item: Values) -> bool:
    """Whether an assessment is of an attempt that no verdict was needed for: without an answer, or verified before."""
    return item.get("decision") == "repeated" or not item.get("of")


def unjudged_line(item: Values) -> str:
    """``attempt 2: It says the same as the attempt before.``"""
    return f"attempt {item.get('round')}: {plain(str(item.get('reason', 'no answer')), _CUT)}"


def verdicts_in(decisions: Sequence[Values]) -> list[Values]:
    """The verdicts among a task's decisions, in order."""
    return [item for item in decisions if item.get("rule") == "verdict"]


def chosen_of(result: Values) -> str | None:
    """Id of the judged candidate that the answer is taken from, as far as a Result tells; None = none was judged."""
    answer, text = result.get("answer"), result.get("answer_text")
    texts = {item["id"]: item.get("text") for item in result.get("candidates", ())}
    judged = [item for item in verdicts_in(result.get("decisions", ())) if item.get("answer") == answer]
    ranked = sorted(judged, key=lambda item: (item["label"] == "accept", texts.get(item["of"]) == text))
    return ranked[-1]["of"] if ranked and answer is not None else None


def add_verdict(place: Tree, decisions: Sequence[Values], number: int, *, full: bool) -> None:
    """What was said of an attempt: verdict, criteria, checks, the person's word, then the feedback."""
    for item in decisions:
        if item.get("rule") == "verdict" and attempt_of(str(item.get("of", ""))) == number:
            _add_verdict(place, item, full=full)
        elif item.get("rule") == "feedback" and item.get("attempt") == number and item.get("text"):
            place.add(_text("told", str(item["text"]), full=full))
        elif item.get("rule") == "assessment" and item.get("round") == number + 1 and unjudged(item):
            _add_unjudged(place, item)


def _add_unjudged(place: Tree, item: Values) -> None:
    reason = plain(str(item.get("reason", "no answer")), _CUT)
    if item.get("decision") == "repeated":
        place.add(Text(f"not verified: {reason}", style="yellow"))
    else:
        place.add(Text(f"rejected: {reason}", style="red"))


def _add_verdict(place: Tree, item: Values, *, full: bool) -> None:
    line = verdict_line(item).partition(": ")[2]
    branch = place.add(Text.assemble(("verdict  ", "dim"), (line, _STYLES[item["label"]])))
    details = item.get("details") or {}
    for criterion in item.get("criteria", ()):
        figure = "" if criterion.get("score") is None else f" ({criterion['score']:.2f})"
        said = f"{criterion.get('choice') or 'unknown'}{figure} {criterion.get('reason', '')}"
        branch.add(_text(plain(str(criterion.get("criterion"))), said, full=full))
    checks = details.get("checks")
    for check in checks if isinstance(checks, Sequence) and not isinstance(checks, str) else ():
        if isinstance(check, Mapping):
            said = f"{check.get('answer', 'unknown')}: {check.get('question', '')} {check.get('explanation', '')}"
            branch.add(_text("check", said, full=full))
    person = details.get("person") or {}
    if person:
        own = person.get("verifier") or {}
        said = f"{person['choice']}{': ' if person.get('reason') else ''}{person.get('reason', '')}"
        before = "" if person["choice"] == "approve" else f" (the verifier: {_SAID.get(own.get('label', ''), '')})"
        branch.add(_text("person", said + before, full=full))


def _text(name: str, text: str, *, full: bool) -> Text:
    shown = plain_lines(text) if full else plain(text, _CUT)
    return Text.assemble((f"{name}  ", "dim"), shown, no_wrap=not full, overflow=None if full else "ellipsis")
