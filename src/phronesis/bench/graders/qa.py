"""Short answers about texts: exact match and word overlap as SQuAD and HotpotQA have them, and the paragraphs found."""

from __future__ import annotations

import re
import string
from collections import Counter
from typing import Literal

from pydantic import BaseModel

from phronesis.bench.dataset import Example
from phronesis.bench.graders.aliases import golds
from phronesis.bench.graders.by_answer import NoOptions
from phronesis.bench.graders.facts import unfit
from phronesis.bench.graders.grader import WRONG, Attempted, Grade, GraderContext
from phronesis.bench.graders.table import GraderEntry
from phronesis.core.errors import ConfigurationError

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_ALONE = ("yes", "no", "noanswer")


class ByOverlap:
    """Right by exact match with one of the gold answers; the score is F1, the best over them.

    Facts: ``aliases`` (further answers) and ``gold_pids`` (paragraphs that hold the answer). Figures: ``em``, ``f1`` and,
    where paragraphs are named and something was retrieved, ``recall`` (share of them that was found) and ``all_found``."""

    reads: Literal["answer", "text"] = "answer"

    def check(self, example: Example) -> None:
        if not all(qa_words(gold) for gold in golds(example)):
            raise ConfigurationError(
                f"nothing is left of a gold answer of {example.task.id!r}: {golds(example)!r}"[:200],
                mend="correct the line, or name another grader",
            )
        _paragraphs(example)

    async def grade(self, example: Example, attempt: Attempted) -> Grade:
        figures = found_paragraphs(_paragraphs(example), attempt.retrieved)
        words = qa_words(attempt.answer or "")
        if not words:
            return WRONG if not figures else Grade(False, 0.0, parsed=False, figures={"em": 0.0, "f1": 0.0} | figures)
        match = any(words == qa_words(gold) for gold in golds(example))
        overlap = max(f1(words, qa_words(gold)) for gold in golds(example))
        return Grade(match, overlap, read=" ".join(words), figures={"em": float(match), "f1": overlap} | figures)

    async def close(self) -> None:
        pass


def qa_words(text: str) -> tuple[str, ...]:
    """Lower case, without punctuation, without a, an and the; in words (Rajpurkar et al. 2016, the official script)."""
    return tuple(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def f1(answer: tuple[str, ...], gold: tuple[str, ...]) -> float:
    """Harmonic mean of precision and recall over words, each as often as it stands there; in [0, 1]. Yes, no and noanswer
    have no share: they are equal or not (Yang et al. 2018)."""
    if answer == gold:
        return 1.0
    if " ".join(answer) in _ALONE or " ".join(gold) in _ALONE:
        return 0.0
    common = sum((Counter(answer) & Counter(gold)).values())
    return 2 * common / (len(answer) + len(gold)) if common else 0.0


def found_paragraphs(wanted: tuple[str, ...], retrieved: tuple[str, ...] | None) -> dict[str, float]:
    """``recall`` and ``all_found``; nothing where no paragraph is named or nothing was retrieved."""
    if not wanted or retrieved is None:
        return {}
    share = len(set(wanted) & set(retrieved)) / len(set(wanted))
    return {"recall": share, "all_found": float(share == 1.0)}


def _paragraphs(example: Example) -> tuple[str, ...]:
    found = example.facts.get("gold_pids") or ()
    if not isinstance(found, (list, tuple)) or not all(isinstance(pid, (str, int)) for pid in found):
        raise unfit(example, "gold_pids", "it is no list of ids")
    return tuple(str(pid) for pid in found)


def _build(context: GraderContext, options: BaseModel) -> ByOverlap:
    return ByOverlap()


ENTRY = GraderEntry(
    name="qa",
    summary="exact match and F1 over words, the best over aliases; recall of gold paragraphs (SQuAD, HotpotQA)",
    options=NoOptions,
    build=_build,
)
