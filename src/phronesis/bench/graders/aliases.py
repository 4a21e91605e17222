"""Gold answers of an example that has more than one."""

from __future__ import annotations

from phronesis.bench.dataset import Example
from phronesis.bench.graders.facts import unfit


def golds(example: Example) -> tuple[str, ...]:
    """The gold answer and the fact ``aliases``, each once. Raises ConfigurationError when those are no list of texts."""
    found = example.facts.get("aliases")
    if found is None:
        return (example.gold,)
    if not isinstance(found, (list, tuple)) or not all(isinstance(item, str) and item.strip() for item in found):
        raise unfit(example, "aliases", "it is no list of texts")
    return tuple(dict.fromkeys((example.gold, *found)))
