"""What the rounds of a verification loop do to the answer that stands: mend it, spoil it; and when the loop stops paying.

After DeepVerifier's transition rates (arXiv 2601.15808, its scaling by rounds): I2C_r = |wrong before, right after round r| /
|wrong before|, C2I_r likewise. A loop pays in round r while I2C_r (1 - accuracy before) >= C2I_r accuracy before. Rates are
None where they have nothing to count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from phronesis.core.verdict import Label


@dataclass(frozen=True, slots=True)
class Way:
    """One question's way through a loop."""

    right: tuple[bool, ...]
    """Whether the answer that stands after each round is right; round 0 is the first attempt. Not empty."""
    labels: tuple[Label | None, ...] = ()
    """The verdict of each round; None, and nothing behind the end, where there was none."""
    newest: tuple[bool, ...] = ()
    """Whether the attempt of each round is right, as far as there is a label."""

    def at(self, round: int) -> bool:
        """Whether the answer that stands after the round is right; a loop that ended keeps its last."""
        return self.right[min(round, len(self.right) - 1)]


@dataclass(frozen=True, slots=True)
class RoundCounts:
    """All questions in one round; those whose loop ended before keep their answer."""

    round: int
    questions: int
    right: int
    """Questions whose standing answer is right after the round."""
    was_wrong: int
    """Those whose standing answer was wrong before it; 0 in round 0, like the next three."""
    corrected: int
    """Those of them that are right after it."""
    was_right: int
    spoiled: int
    judged: int
    """Attempts of the round that were judged."""
    accepted: int
    accepted_right: int
    unknown: int

    @property
    def accuracy(self) -> float:
        return self.right / self.questions

    @property
    def to_right(self) -> float | None:
        """I2C: share of the wrong answers that the round makes right."""
        return _share(self.corrected, self.was_wrong)

    @property
    def to_wrong(self) -> float | None:
        """C2I: share of the right answers that the round makes wrong."""
        return _share(self.spoiled, self.was_right)

    @property
    def accept_rate(self) -> float | None:
        """Share of the round's judged attempts that are accepted."""
        return _share(self.accepted, self.judged)

    @property
    def accepted_precision(self) -> float | None:
        """Share of the accepted attempts that are right."""
        return _share(self.accepted_right, self.accepted)

    @property
    def pays(self) -> bool:
        """Whether it spoils no more answers than it corrects: I2C (1 - accuracy) >= C2I accuracy, multiplied out."""
        return self.corrected >= self.spoiled


@dataclass(frozen=True, slots=True)
class Transitions:
    """A loop over many questions."""

    questions: int
    rounds: tuple[RoundCounts, ...]
    corrections: int
    """Questions that the first attempt has wrong and the final answer right."""
    over_corrections: int
    """Questions that the first attempt has right and the final answer wrong."""

    @property
    def net(self) -> int:
        return self.corrections - self.over_corrections

    @property
    def stops_paying(self) -> int | None:
        """The first round that spoils more answers than it corrects; None = no round does."""
        return next((item.round for item in self.rounds[1:] if not item.pays), None)


def transitions(ways: Sequence[Way]) -> Transitions:
    """The counts over questions, rounds up to the longest way. Raises ValueError for no way at all, and for an empty one."""
    if not ways or not all(way.right for way in ways):
        raise ValueError("transitions need at least one question, each with at least one round")
    longest = max(len(way.right) for way in ways)
    return Transitions(
        questions=len(ways),
        rounds=tuple(_round(ways, number) for number in range(longest)),
        corrections=sum(way.right[-1] and not way.right[0] for way in ways),
        over_corrections=sum(way.right[0] and not way.right[-1] for way in ways),
    )


def _round(ways: Sequence[Way], number: int) -> RoundCounts:
    steps = [(way.at(number - 1), way.at(number)) for way in ways] if number else []
    judged = [
        (label, way.newest[number] if number < len(way.newest) else False)
        for way in ways
        if number < len(way.labels) and (label := way.labels[number]) is not None
    ]
    return RoundCounts(
        round=number,
        questions=len(ways),
        right=sum(way.at(number) for way in ways),
        was_wrong=sum(not before for before, _ in steps),
        corrected=sum(now and not before for before, now in steps),
        was_right=sum(before for before, _ in steps),
        spoiled=sum(before and not now for before, now in steps),
        judged=len(judged),
        accepted=sum(label == "accept" for label, _ in judged),
        accepted_right=sum(label == "accept" and right for label, right in judged),
        unknown=sum(label == "unknown" for label, _ in judged),
    )


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
