"""Facts of an example that a grader cannot do without, and the text of an attempt it reads."""

from __future__ import annotations

from typing import Any, TypeVar

from phronesis.bench.dataset import Example
from phronesis.bench.graders.grader import Attempted
from phronesis.core.errors import ConfigurationError

T = TypeVar("T")

LONGEST = 200_000
"""Characters of an attempt that are read, from its end; no answer is longer."""
_KINDS = {str: "a text", list: "a list", dict: "a table of names", bool: "true or false", int: "a whole number"}


def needed(example: Example, name: str, kind: type[T]) -> T:
    """The fact of that name. Raises ConfigurationError when the example lacks it, or it is empty or of another kind."""
    value = example.facts.get(name)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)) or value in ("", [], {}):
        said = f"has {name} = {_short(value)}" if name in example.facts else f"lacks {name!r}"
        raise ConfigurationError(
            f"the example {example.task.id!r} {said}: its grader needs {_KINDS.get(kind, kind.__name__)}",
            mend=f"add {name!r} to the row, or name another grader",
        )
    return value


def unfit(example: Example, name: str, why: str) -> ConfigurationError:
    """The error of a fact that is there and cannot be used."""
    shown = _short(example.facts.get(name))
    return ConfigurationError(f"the example {example.task.id!r} has {name} = {shown}: {why}", mend=f"correct {name!r}")


def text_of(attempt: Attempted) -> str:
    """The end of the attempt's text; without one, its canonical answer; empty when there is neither."""
    return (attempt.text if attempt.text.strip() else attempt.answer or "")[-LONGEST:]


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
