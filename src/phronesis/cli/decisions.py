"""Votes and decisions of a run in words, with what they were made from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from phronesis.cli.plain import plain
from phronesis.cli.verdict_tree import opinion_line, unjudged, unjudged_line, verdict_line

_QUALITY = ("quality", "quality_passes")
_CONFIDENCE = ("outcome_confidence", "step_confidence", "confidence_passes")
MOST = 6
"""Answers whose weights are shown."""


def in_words(item: Mapping[str, Any]) -> str:
    """One line about a decision or vote, as a Result or an event holds it."""
    rule = item.get("rule")
    if item.get("type") == "vote":
        return _vote(item)
    if rule == "gate":
        return _gate(item)
    if rule == "acceptance":
        verdict = "accepted, so a lesson may be learned" if item["accepted"] else "nothing is learned"
        return f"memory: {verdict}: {plain(str(item['reason']))}"
    if rule == "verdict":
        return verdict_line(item)
    if "label" in item:
        return opinion_line(item)
    if rule == "assessment" and unjudged(item):
        return unjudged_line(item)
    shown = {name: value for name, value in item.items() if name not in ("type", "key", "rule")}
    return plain(f"{rule or item.get('key', 'decision')}: {_values(shown)}", 300)


def _vote(item: Mapping[str, Any]) -> str:
    weights = dict(item.get("weights") or {})
    where = plain(str(item.get("key", "")))
    name = f"{item.get('rule', '')} vote" + (f" ({where})" if where not in ("", "vote") else "")
    if not weights:
        return f"{name}: nobody could vote"
    total = sum(weights.values())
    ranked = sorted(weights.items(), key=lambda pair: -pair[1])
    shown = ", ".join(f"{plain(str(answer), 30)} {weight:.4g}" for answer, weight in ranked[:MOST])
    more = f", {len(ranked) - MOST} more" if len(ranked) > MOST else ""
    share = weights.get(item["answer"], 0) / total if total else 0.0
    by = f", by {item['chosen']}" if item.get("chosen") else ""
    return f"{name}: {plain(str(item['answer']), 60)} wins with {share:.0%}{by}  ({shown}{more})"


def _gate(item: Mapping[str, Any]) -> str:
    verdict = "hard" if item["hard"] else "good enough"
    known = {"type", "key", "rule", "round", "hard", "reason", "majority", "normalised", *_QUALITY, *_CONFIDENCE}
    measure = "z-score" if item.get("normalised") else "quality"
    parts = [f"{measure} {_value(item.get('quality'))} {_passes(item, _QUALITY)}"]
    confidence = "/".join(_value(item.get(name)) for name in ("outcome_confidence", "step_confidence"))
    parts.append(f"confidence {confidence} {_passes(item, _CONFIDENCE)}")
    parts.append(f"majority {_value(item.get('majority'))}")
    others = {name: value for name, value in item.items() if name not in known}
    shown = "; ".join([*parts, *([_values(others)] if others else [])])
    return f"gate after round {item.get('round', 0)}: {verdict}: {plain(str(item['reason']))}  ({shown})"


def _passes(item: Mapping[str, Any], names: tuple[str, ...]) -> str:
    return "passes" if item.get(names[-1]) else "fails"


def _values(shown: Mapping[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {_value(value)}" for name, value in shown.items())


def _value(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, float):
        return f"{value:.3g}"
    return plain(str(value), 60)
