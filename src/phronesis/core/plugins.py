"""What is found by name: things of our own in an explicit table, those of other packages through an entry-point group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import entry_points
from typing import TypeVar

from phronesis.core.errors import ConfigurationError

T = TypeVar("T")


def installed(group: str) -> set[str]:
    """The names that installed packages offer in a group."""
    return {point.name for point in entry_points(group=group)}


def load_named(
    name: str,
    kind: type[T],
    *,
    what: str,
    shipped: Mapping[str, str],
    group: str,
    known: Sequence[str],
    error: type[ConfigurationError],
) -> T:
    """The object behind a name, imported when asked for. A shipped name wins over an entry point that claims it.

    ``shipped``: name -> ``module:attribute``; ``what`` and ``known`` are for the message. Raises ``error`` with the nearest
    known name, or when the object is not of the kind."""
    target = shipped.get(name)
    if target is None:
        found = [point for point in entry_points(group=group) if point.name == name]
        if not found:
            near = get_close_matches(name, known, n=1, cutoff=0.4)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
            raise error(f"unknown {what} {name!r}", mend=hint)
        target = found[0].value
    module, _, attribute = target.partition(":")
    loaded = getattr(import_module(module), attribute)
    if not isinstance(loaded, kind):
        raise error(f"{target} is not a {kind.__name__} but {type(loaded).__name__}")
    return loaded
