"""Loading the examples that a request names."""

from __future__ import annotations

import random
from pathlib import Path

from phronesis.bench.dataset import DataSet, Example, check_ids, read_examples
from phronesis.bench.sets.request import SetRequest
from phronesis.core.errors import ConfigurationError
from phronesis.core.settings import Settings


def load_set(request: SetRequest, settings: Settings) -> DataSet:
    """The examples of a request, chosen and in order. Raises ConfigurationError that names file, row and field."""
    path = Path(request.spec)
    if not path.exists():
        raise ConfigurationError(f"there is no data set {request.spec!r}", mend="give a known name or a path")
    examples = read_examples(path, format=request.format)
    chosen = choose(examples, request)
    check_ids(chosen, f"the set {request.title!r}")
    return DataSet(request.title, tuple(chosen), path.parent)


def choose(examples: list[Example], request: SetRequest) -> list[Example]:
    """The examples that ``where``, ``sample`` and ``limit`` leave, in their order."""
    for name, values in request.where.items():
        examples = [item for item in examples if str(item.facts.get(name)) in values]
    if request.sample is not None and request.sample < len(examples):
        kept = sorted(random.Random(request.seed).sample(range(len(examples)), request.sample))
        examples = [examples[index] for index in kept]
    return examples[: request.limit]
