"""The documents that the arms of a bench search: what they are now, to be compared with what they were."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from phronesis.bench.running.plan import BenchPlan
from phronesis.core.settings import Settings
from phronesis.graphs.retrieval_section import RetrievalSection


async def documents_of(plan: BenchPlan, settings: Settings) -> dict[str, str]:
    """Retriever as the recipes write it -> its fingerprint. Opens each once and makes no search.

    Raises ConfigurationError for documents that are not there, and what opening a retriever raises."""
    from phronesis.tools.retrievers import open_retriever

    sources = [RetrievalSection.model_validate(arm.recipe.get("retrieval", {})).source for arm in plan.arms]
    found = {}
    for source in dict.fromkeys(filter(None, sources)):
        retriever = await asyncio.to_thread(open_retriever, source, settings)
        found[source] = retriever.fingerprint
        await retriever.close()
    return found


def changed_documents(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """What is not as it was, a line each."""
    return [
        f"the documents of {source} are not what they were (fingerprint {before[source]}, now {now[source]})"
        for source in before.keys() & now.keys()
        if before[source] != now[source]
    ]
