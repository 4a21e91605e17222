"""Retrievers by the names that recipes and commands use."""

from __future__ import annotations

from phronesis.core.errors import ConfigurationError
from phronesis.core.named import NamedSpec
from phronesis.core.plugins import installed, load_named
from phronesis.core.retrieval import Retriever, RetrieverEntry
from phronesis.core.settings import Settings

GROUP = "phronesis.retrievers"

SHIPPED = {"kb": "phronesis.tools.knowledge.retriever:ENTRY"}


def retriever_names() -> list[str]:
    """Every retriever that can be named: the shipped ones, then those of installed packages."""
    return [*SHIPPED, *sorted(installed(GROUP) - set(SHIPPED))]


def find_retriever(name: str) -> RetrieverEntry:
    """The entry of that name. Raises ConfigurationError with the nearest known name."""
    return load_named(
        name,
        RetrieverEntry,
        what="retriever",
        shipped=SHIPPED,
        group=GROUP,
        known=retriever_names(),
        error=ConfigurationError,
    )


def open_retriever(text: str, settings: Settings) -> Retriever:
    """The retriever that ``name(option=value)`` names, open; reads files, so call it in a thread. Raises ConfigurationError
    for an unknown one or a wrong option, and what its opening raises."""
    spec = NamedSpec.parse(text, what="retriever")
    entry = find_retriever(spec.name)
    return entry.open(spec.checked(entry.options, what="retriever"), settings)
