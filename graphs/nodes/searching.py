"""Searches inside a run: each is a journalled effect, counted against the budget and reported in the Result."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from phronesis.core.budget import Branch, ToolSpent
from phronesis.core.effects import Effects
from phronesis.core.errors import BudgetExhausted, PhronesisError, RetrievalError
from phronesis.core.result import FoundPassage, RetrievalReport
from phronesis.core.retrieval import Passage, SearchRequest
from phronesis.graphs.sources import Sources

UNIT = "search"
"""The tool whose units searches are counted as."""
_NUMBER = re.compile(r"(\d+)")


@dataclass
class Searcher:
    """The retriever of one task."""

    sources: Sources
    effects: Effects
    where: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    degraded: list[str] = field(default_factory=list)
    """Where a retriever that works less well than asked for says so; shared with the Result."""
    queries: dict[str, tuple[str, ...]] = field(default_factory=dict)
    found: dict[str, tuple[Passage, ...]] = field(default_factory=dict)
    """By the key of the search or of the tool call that brought them."""
    cited: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Ids of passages by the candidate that rests on them."""
    invented: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """Numbers that a candidate cites and no passage had."""
    prefix: str = ""
    """Stands before the ids of candidates: that of a later attempt of the whole strategy."""

    async def search(
        self, queries: Sequence[str], *, k: int, branch: Branch, occurrence: str = "0"
    ) -> tuple[tuple[Passage, ...], ...]:
        """At most k passages of each query, nearest first; queries without words, and all with k = 0, find nothing.

        One unit of ``search`` a query; those beyond the budget find nothing, and the account says so. No call, no depth.
        Raises BudgetExhausted when none is granted or the seconds are over; RetrievalError, journalled."""
        if k == 0 or not queries:
            return tuple(() for _ in queries)
        key, account = f"{branch.path}#{UNIT}.{occurrence}", branch.account
        pin = self.sources.retriever_pin
        request = {"queries": list(queries), "k": k, "where": {n: list(v) for n, v in self.where.items()}, **pin}
        made = False

        async def work() -> dict[str, Any]:
            nonlocal made
            made = True
            granted = account.take_units(UNIT, len(queries))
            if not granted:
                raise account.deny(f"tools.{UNIT}")
            left = account.seconds_left
            try:
                async with asyncio.timeout(None if left is None else max(left, 0.0)):
                    return {"granted": granted, **await self._look(queries[:granted], k)}
            except TimeoutError:
                raise account.deny("seconds") from None

        try:
            value = await self.effects.effect(key, request, work, note={"role": UNIT})
        except BudgetExhausted as error:
            late = error.details["limit"] == "seconds"  # begun, and its units with it
            if late and not made:
                account.take_units(UNIT, len(queries))
            account.book_tool(UNIT, ToolSpent(calls=1, failed=int(late), refused=0 if late else len(queries)))
            raise account.deny(str(error.details["limit"])) from None
        except RetrievalError:
            if not made:
                account.take_units(UNIT, len(queries))
            account.book_tool(UNIT, ToolSpent(calls=1, failed=1))
            raise
        granted = int(value["granted"])
        if not made:
            account.readmit_units(UNIT, len(queries), granted)
        account.book_tool(UNIT, ToolSpent(calls=1, refused=len(queries) - granted))
        if value["degraded"] and value["degraded"] not in self.degraded:
            self.degraded.append(value["degraded"])
        rows = tuple(tuple(Passage.model_validate(item) for item in row) for row in value["found"])
        self.queries[key] = tuple(queries[:granted])
        self.found[key] = tuple(passage for row in rows for passage in row)
        return (*rows, *(() for _ in queries[granted:]))

    async def _look(self, queries: Sequence[str], k: int) -> dict[str, Any]:
        retriever = await self.sources.retriever()
        requests = [SearchRequest(query=query, k=k, where=dict(self.where)) for query in queries]
        try:
            found = await retriever.search(requests)
        except PhronesisError:
            raise
        except Exception as error:
            # The boundary to other people's retrievers, which raise anything.
            raise RetrievalError(f"{retriever.name!r} failed: {type(error).__name__}: {error}") from error
        rows = [[passage.model_dump(mode="json") for passage in _once(row)[:k]] for row in found]
        if len(rows) != len(queries):
            raise RetrievalError(f"{retriever.name!r} answered {len(rows)} of {len(queries)} queries")
        return {"found": rows, "degraded": getattr(retriever, "degraded", None)}

    def cite(self, candidate: str, ids: Sequence[str], invented: Sequence[int] = ()) -> None:
        """Says what a candidate rests on; what no search of the task brought is no ground and is left out."""
        candidate = f"{self.prefix}{candidate}"
        if invented:
            self.invented[candidate] = tuple(invented)
        known = {passage.id for found in self.found.values() for passage in found}
        self.cited[candidate] = tuple(id for id in ids if id in known)

    def report(self, chosen: str | None) -> RetrievalReport | None:
        """What the Result says, with the citations of the chosen candidate; None = there was nothing to search in."""
        if not self.sources.searches:
            return None
        passages: dict[str, FoundPassage] = {}
        cited = self.cited.get(chosen or "", ())
        for _, found in sorted(self.found.items(), key=lambda pair: _natural(pair[0])):
            for item in found:
                kept = item.model_dump(include={"id", "title", "source", "start", "end", "score"})
                passages.setdefault(item.id, FoundPassage(**kept, cited=item.id in cited))
        ordered = sorted(self.queries.items(), key=lambda pair: _natural(pair[0]))
        return RetrievalReport(
            retriever=self.sources.retriever_pin.get("name", ""),
            fingerprint=self.sources.retriever_pin.get("fingerprint", ""),
            queries=tuple(query for _, asked in ordered for query in asked),
            passages=tuple(passages.values()),
        )


def _once(row: Sequence[Passage]) -> list[Passage]:
    """Without repeated ids, whatever a retriever brings; each stays where it was found first."""
    first: dict[str, Passage] = {}
    for passage in row:
        first.setdefault(passage.id, passage)
    return list(first.values())


def _natural(key: str) -> tuple[tuple[int, str], ...]:
    """A sort key that puts ``r2`` before ``r10``."""
    return tuple((int(part), "") if part.isdecimal() else (-1, part) for part in _NUMBER.split(key))
