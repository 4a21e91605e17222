"""What an audit found: how many right answers have a flawed derivation, and accuracy and pass@k without them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from phronesis.bench.audit_run import Audited, Verdict, item_id
from phronesis.bench.metrics.audit import corrected_accuracy, rogan_gladen, share_interval, thinned_pass_at_k
from phronesis.bench.metrics.passk import pass_at_k
from phronesis.bench.ranking import Interval
from phronesis.bench.running.item import Item
from phronesis.bench.running.summary import clusters, question_scores

MAJORITY = "majority"
"""The verdict of several auditors: what most of those say that say anything; none where they are equally many."""


@dataclass(frozen=True, kw_only=True)
class Skill:
    """How an auditor does on the items that a person judged too."""

    labelled: int
    """Those of them that it gave a verdict on."""
    sensitivity: float | None
    """Share of the flawed that it finds; None where the person found none."""
    specificity: float | None
    """Share of the sound that it passes."""


@dataclass(frozen=True, kw_only=True)
class AuditRow:
    """One arm on one set by one auditor."""

    arm: str
    set: str
    auditor: str
    right: int
    """Items graded right."""
    audited: int
    flawed: int
    sound: int
    unknown: int
    """Replies without a verdict; they count neither way."""
    rate: Interval
    """Share of the verdicts that say flawed, with Wilson's interval over clusters of questions."""
    true_rate: float | None
    """The same corrected for the auditor's errors (Rogan-Gladen); None without labels, or where they tell nothing."""
    accuracy: float
    corrected_accuracy: float
    """By ``true_rate`` where there is one, else by ``rate``; NaN without a verdict."""
    pass_at_k: Mapping[int, tuple[float, float]]
    """k -> (pass@k, expected without false positives), over questions with at least k attempts."""

    def to_json(self) -> dict[str, Any]:
        """Plain values; NaN is null."""
        data = {name: getattr(self, name) for name in self.__dataclass_fields__}
        data["rate"] = [_plain(value) for value in (self.rate.value, self.rate.low, self.rate.high)]
        data["pass_at_k"] = {str(k): [_plain(value) for value in pair] for k, pair in self.pass_at_k.items()}
        return {name: _plain(value) for name, value in data.items()}


@dataclass(frozen=True, kw_only=True)
class AuditReport:
    """The whole audit."""

    rows: tuple[AuditRow, ...]
    skills: Mapping[str, Skill]
    """By auditor; empty without labels."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        skills = {
            name: {key: _plain(value) for key, value in asdict(skill).items()} for name, skill in self.skills.items()
        }
        return {"rows": [row.to_json() for row in self.rows], "auditors": skills}


def report(
    items: Sequence[Item],
    chosen: Sequence[Audited],
    found: Mapping[str, Mapping[str, Verdict]],
    labels: Mapping[str, bool] | None = None,
) -> AuditReport:
    """items: all of the bench; chosen: those audited; found: auditor -> item id -> verdict; labels: item id -> sound.

    A row per arm, set and auditor, and one of their majority if there are several."""
    said: dict[str, dict[str, bool | None]] = {
        auditor: {id: verdict.sound for id, verdict in by_id.items()} for auditor, by_id in found.items()
    }
    if len(said) > 1:
        said[MAJORITY] = {item.id: _majority([by_id.get(item.id) for by_id in said.values()]) for item in chosen}
    skills = {auditor: skill(by_id, labels) for auditor, by_id in said.items()} if labels else {}
    cells = dict.fromkeys((item.item.arm, item.item.set) for item in chosen)
    rows = []
    for arm, name in cells:
        mine = [item for item in items if item.arm == arm and item.set == name]
        drawn = [item.item for item in chosen if item.item.arm == arm and item.item.set == name]
        rows += [_row(mine, drawn, auditor, by_id, skills.get(auditor)) for auditor, by_id in said.items()]
    return AuditReport(rows=tuple(rows), skills=skills)


def skill(said: Mapping[str, bool | None], labels: Mapping[str, bool]) -> Skill:
    """An auditor's sensitivity and specificity by human labels."""
    both = [(said[id], sound) for id, sound in labels.items() if said.get(id) is not None]
    flawed = [verdict for verdict, sound in both if not sound]
    passed = [verdict for verdict, sound in both if sound]
    return Skill(
        labelled=len(both),
        sensitivity=sum(not verdict for verdict in flawed) / len(flawed) if flawed else None,
        specificity=sum(bool(verdict) for verdict in passed) / len(passed) if passed else None,
    )


def _majority(verdicts: Sequence[bool | None]) -> bool | None:
    sound, flawed = sum(verdict is True for verdict in verdicts), sum(verdict is False for verdict in verdicts)
    return None if sound == flawed else sound > flawed


def _row(
    items: Sequence[Item], drawn: Sequence[Item], auditor: str, said: Mapping[str, bool | None], known: Skill | None
) -> AuditRow:
    asked = {item_id(item): item for item in drawn if item_id(item) in said}
    flawed = sum(said[id] is False for id in asked)
    sound = sum(said[id] is True for id in asked)
    rate = _rate([(item, said[id] is False) for id, item in asked.items() if said[id] is not None])
    true_rate = _true_rate(rate.value, known)
    used = rate.value if true_rate is None else true_rate
    scores = question_scores(items)
    accuracy = math.fsum(scores.values()) / len(scores) if scores else math.nan
    return AuditRow(
        arm=drawn[0].arm,
        set=drawn[0].set,
        auditor=auditor,
        right=sum(item.status == "ok" and item.correct for item in items),
        audited=len(asked),
        flawed=flawed,
        sound=sound,
        unknown=len(asked) - flawed - sound,
        rate=rate,
        true_rate=true_rate,
        accuracy=accuracy,
        corrected_accuracy=corrected_accuracy(accuracy, used),
        pass_at_k=_curve(items, used),
    )


def _rate(verdicts: Sequence[tuple[Item, bool]]) -> Interval:
    """Mean over verdicts, with the interval of as many clusters as they come from."""
    if not verdicts:
        return share_interval(0, 0)
    value = sum(flawed for _, flawed in verdicts) / len(verdicts)
    count = len(clusters([item for item, _ in verdicts]))
    return share_interval(value * count, count)


def _true_rate(observed: float, known: Skill | None) -> float | None:
    if known is None or known.sensitivity is None or known.specificity is None or math.isnan(observed):
        return None
    if known.sensitivity + known.specificity <= 1:
        return None
    return rogan_gladen(observed, known.sensitivity, known.specificity)


def _curve(items: Sequence[Item], rate: float) -> dict[int, tuple[float, float]]:
    """k = 1, 2, 4, ... -> means over graded items with at least k attempts."""
    counts = [(len(item.attempts), sum(one.correct for one in item.attempts)) for item in items if item.graded]
    found, k = {}, 1
    while (enough := [pair for pair in counts if pair[0] >= k]) and not math.isnan(rate):
        before = math.fsum(pass_at_k(n, c, k) for n, c in enough) / len(enough)
        after = math.fsum(thinned_pass_at_k(n, c, rate, k) for n, c in enough) / len(enough)
        found[k] = (before, after)
        k *= 2
    return found


def _plain(value: Any) -> Any:
    return (None if math.isnan(value) else round(value, 4)) if isinstance(value, float) else value
