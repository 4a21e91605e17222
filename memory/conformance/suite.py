"""The checks, in a fixed order, and running them."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from phronesis.memory.conformance import finding, keeping, learning, revising, sharing
from phronesis.memory.conformance.store import OpenStore, Stores


@dataclass(frozen=True)
class Check:
    """One law."""

    name: str
    law: str
    """What holds of every store, in a sentence."""
    body: Callable[[Stores], None]

    def __call__(self, open_store: OpenStore) -> None:
        """Raises AssertionError that says what does not hold; errors of the store pass through."""
        self.body(Stores(open_store, self.name.replace("_", "-")))

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Report:
    """What became of the checks."""

    passed: tuple[str, ...] = ()
    failed: Mapping[str, str] = field(default_factory=dict)
    """Why, by name: the message and where it came from."""

    @property
    def ok(self) -> bool:
        return not self.failed

    def __str__(self) -> str:
        lines = [f"{len(self.passed)} of {len(self.passed) + len(self.failed)} checks passed"]
        return "\n".join([*lines, *(f"{name}: {why}" for name, why in self.failed.items())])


def checks() -> Sequence[Check]:
    """All of them."""
    parts = (keeping.LAWS, finding.LAWS, learning.LAWS, revising.LAWS, sharing.LAWS)
    return tuple(Check(body.__name__, " ".join((body.__doc__ or "").split()), body) for part in parts for body in part)


def run(open_store: OpenStore, *, only: Sequence[str] = ()) -> Report:
    """Puts the store to every check, or to those named, whatever fails before. Under a minute for a store on disk.

    Every check uses stores of its own name, so an empty place is enough for all."""
    passed, failed = [], {}
    for check in checks():
        if only and check.name not in only:
            continue
        try:
            check(open_store)
        except Exception as error:
            # The boundary to a store that may raise anything: that is what is to be reported.
            where = traceback.extract_tb(error.__traceback__)[-1]
            failed[check.name] = f"{type(error).__name__}: {error} ({where.name}, line {where.lineno})"
        else:
            passed.append(check.name)
    return Report(tuple(passed), failed)
