"""A retriever held to the passages that a recipe's ``[retrieval] where`` lets through: what tools search in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from phronesis.core.retrieval import Passage, Retriever, SearchRequest


class Filtered:
    """A Retriever. Passages cannot be opened by id through it: an id says nothing of what may be seen."""

    def __init__(self, retriever: Retriever, where: Mapping[str, tuple[str, ...]]) -> None:
        self._retriever = retriever
        self._where = where
        self.name = retriever.name
        self.fingerprint = retriever.fingerprint

    async def search(self, requests: Sequence[SearchRequest]) -> tuple[tuple[Passage, ...], ...]:
        """As the retriever does it; the recipe's filter wins over a request's own of the same name."""
        return await self._retriever.search(
            [request.model_copy(update={"where": {**request.where, **self._where}}) for request in requests]
        )

    async def close(self) -> None:
        """The run closes the retriever."""
