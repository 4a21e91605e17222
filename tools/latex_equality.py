"""Whether two LaTeX answers are equal: by their spelling, by value, and only then by math-verify in a process of its own."""

from __future__ import annotations

import importlib.util
import threading
from collections import OrderedDict
from dataclasses import dataclass

from phronesis.core.errors import SetupError, ToolError
from phronesis.core.worker import Worker
from phronesis.tools.latex_forms import number_of, words_of
from phronesis.tools.numbers import close_numbers


@dataclass(frozen=True, slots=True)
class Comparison:
    """What is known of a pair of canonical answers."""

    equal: bool
    answer_read: bool = True
    """Whether the answer is a formula at all, as far as anybody looked."""


_UNDECIDED = Comparison(False)
"""By identity: math-verify hung or died on the pair."""


def need_math_verify() -> None:
    """Raises SetupError when math-verify is not installed."""
    if importlib.util.find_spec("math_verify") is None:
        raise SetupError("LaTeX answers need the package math-verify", mend="pip install 'phronesis[math]'")


def settled(gold: str, answer: str) -> Comparison | None:
    """What needs no algebra: equal forms, two numbers (equal within one part in a million), two texts of words; else None."""
    if gold == answer:
        return Comparison(True)
    left, right = number_of(gold), number_of(answer)
    if left is not None and right is not None:
        return Comparison(close_numbers(left, right))
    first, second = words_of(gold), words_of(answer)
    if first is not None and second is not None:
        return Comparison(first == second)
    return None


class Comparer:
    """Compares canonical answers and remembers the latest pairs. The process starts with the first pair that only math-verify
    can decide."""

    def __init__(self, worker: Worker | None = None, *, pairs: int = 20_000) -> None:
        """``worker``: calls (gold, answer) -> ``equal``, ``answer_read``; None = math-verify, 5 s and 1 GiB a pair."""
        self._worker = worker or Worker("phronesis.tools.latex_check:compare", seconds=5.0, memory=2**30)
        self._most = pairs
        self._known: OrderedDict[tuple[str, str], Comparison] = OrderedDict()
        self._turn = threading.Lock()

    @property
    def pid(self) -> int | None:
        """The process's id; None while there is none."""
        return self._worker.pid

    async def compare(self, gold: str, answer: str) -> Comparison:
        """The right answer and another one. Raises ToolError when it could not be found out in time, SetupError without
        math-verify. A pair that could not be decided is tried again."""
        found = settled(gold, answer) or self._held(gold, answer)
        if found is None or found is _UNDECIDED:
            need_math_verify()
            found = self._keep(gold, answer, _comparison(await self._worker.call(gold, answer)))
        return found

    def equal(self, left: str, right: str) -> bool:
        """Whether two answers are equal, whichever comes first; a pair that cannot be decided is not, and is not tried again.

        Holds up the thread: 1 to 50 ms for a new pair, 5 s when the first order cannot be decided, 10 s at most."""
        known = settled(left, right)
        if known is not None:
            return known.equal
        found = self._one_way(left, right)
        return found.equal or (found is not _UNDECIDED and self._one_way(right, left).equal)

    async def close(self) -> None:
        """Ends the process; a later comparison starts a new one."""
        await self._worker.close()

    def _one_way(self, gold: str, answer: str) -> Comparison:
        found = self._held(gold, answer)
        if found is None:
            need_math_verify()
            try:
                made = _comparison(self._worker.call_sync(gold, answer))
            except ToolError:
                made = _UNDECIDED
            found = self._keep(gold, answer, made)
        return found

    def _held(self, gold: str, answer: str) -> Comparison | None:
        with self._turn:
            return self._known.get((gold, answer))

    def _keep(self, gold: str, answer: str, found: Comparison) -> Comparison:
        with self._turn:
            self._known[gold, answer] = found
            while len(self._known) > self._most:
                self._known.popitem(last=False)
        return found


def _comparison(reply: dict[str, bool]) -> Comparison:
    return Comparison(reply["equal"], reply["answer_read"])


COMPARER = Comparer()
"""The one that everything in this process shares, and so does its process."""
