"""Before a strategy, and on a retry: concepts recalled into the prompt, and on record why each one is there or is not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from phronesis.core.budget import Branch
from phronesis.core.concept import Hit
from phronesis.core.ports import ConceptMemory
from phronesis.core.result import MemoryRecall
from phronesis.graphs.context import RunContext
from phronesis.graphs.memory_section import MemorySection
from phronesis.graphs.nodes.selecting import Picked, describe, easy, select
from phronesis.graphs.policies.recalling import BELOW_LEAST, Found, choose
from phronesis.memory.recall import render

KEY = "memory#recall"
"""Of the recall before a strategy; one on a retry has the retry's path before it."""


def estimate(text: str) -> int:
    """Tokens of a text, roughly, without a server: what a budget of the memory section is counted in."""
    return round(len(text) / 3.5)


@dataclass(frozen=True, slots=True)
class Recalled:
    """What a recall brought."""

    text: str = ""
    """The section for the prompt; empty = none."""
    items: tuple[MemoryRecall, ...] = ()
    """What was shown, and what would have been but for a reason it names."""
    version: int = 0
    """Ledger version that was read."""
    skipped: str = ""
    """Why nothing was looked for."""


@dataclass
class Recaller:
    """The memory of one task, as its recipe reads it. Hits, probes, descriptions and selections are journalled effects."""

    ctx: RunContext
    memory: Callable[[], ConceptMemory]
    section: MemorySection
    pinned: int | None
    """Ledger version of every recall; None = the latest at the first, which the others then read too."""
    described: str = ""
    """The description of the task, where the section asks for one."""
    before: Recalled | None = None
    """What the recall before the strategy brought; None = there was none."""
    later: dict[str, Recalled] = field(default_factory=dict)
    """What recalls on retries brought, by path."""

    async def first(self) -> Recalled:
        """The recall before the strategy. Calls: ``recall_calls``."""
        section = self.section
        if section.skip_easy and await easy(self.ctx, section.skip_easy):
            skipped = f"all of {section.skip_easy} attempts without it agree"
            self.ctx.note("decision", "memory", {"rule": "skip_easy", "attempts": section.skip_easy, "easy": True})
            return Recalled(skipped=skipped)
        if section.describe:
            self.described = await describe(self.ctx)
        self.before = await self._recall(self.ctx.root, "", self.pinned, ())
        return self.before

    async def again(self, attempt: str, branch: Branch) -> str:
        """The section for a retry at the branch, which pays: concepts for the question, the failed attempt and what was said
        of it (ArcMemo, arXiv 2509.04439: re-selection); empty = none.

        Without those shown before the strategy or earlier on the same thread, which is what the branch's path begins with."""
        thread = branch.path.partition("/")[0]
        before = [found for path, found in self.later.items() if path.partition("/")[0] == thread]
        pinned = self.pinned
        if self.before is not None:
            before.append(self.before)
            pinned = self.before.version
        shown = [item.id for found in before for item in found.items if item.rendered]
        found = await self._recall(branch, attempt, pinned, shown)
        self.later[branch.path] = found
        self.ctx.reports.sections.append(found.text)
        return found.text

    def items(self) -> tuple[MemoryRecall, ...]:
        """What all recalls of the task brought, each concept once, by path: as shown where it was shown."""
        items: dict[str, MemoryRecall] = {}
        for _, found in sorted({"": self.before or Recalled(), **self.later}.items()):
            for item in found.items:
                if item.id not in items or (item.rendered and not items[item.id].rendered):
                    items[item.id] = item
        return tuple(items.values())

    async def _recall(self, branch: Branch, attempt: str, pinned: int | None, shown: Sequence[str]) -> Recalled:
        ctx, section = self.ctx, self.section
        place = f"{branch.path}/" if branch.path else ""
        query = "\n".join(part for part in (ctx.task.question, self.described, attempt) if part)
        found = await self._search(f"{place}{KEY}", query, pinned, shown)
        degraded = found["degraded"]
        if degraded and str(degraded) not in ctx.reports.degraded:
            ctx.reports.degraded.append(str(degraded))
        hits = [Hit.model_validate(item) for item in found["hits"]]
        reasons = dict(_reasons(hits, section, degraded=bool(degraded)))
        picked = Picked(tuple(hit.id for hit in hits if not reasons[hit.id]))
        if section.select != "none":
            fitting = hits if section.select == "reasoning" else [hit for hit in hits if reasons[hit.id] != BELOW_LEAST]
            picked = await select(ctx, fitting, section, branch=branch, attempt=attempt, otherwise=picked.ids)
            reasons |= {hit.id: picked.reason_of(hit.id) for hit in fitting}
        by_id = {hit.id: hit for hit in hits}
        text, items = render(
            [by_id[id] for id in picked.ids],
            token_budget=section.token_budget,
            tokens=estimate,
            concept_tokens=section.concept_tokens,
            others=picked.names,
        )
        outcome = {item.id: item for item in items}
        looked = [_outcome(hit, outcome.get(hit.id), reasons[hit.id], picked) for hit in hits]
        entry = {"session": section.session, "mode": found.get("mode", "dense"), "version": int(found["version"])}
        extra = {} if picked.unknown is None else {"unknown_ids": picked.unknown}
        ctx.note("node", f"{place}memory", {**entry, **extra, "found": [*looked, *found.get("others", ())]})
        left_out = [_left_out(hit, reasons[hit.id]) for hit in _plain(hits, section) if hit.id not in outcome]
        return Recalled(text, (*items, *left_out), int(found["version"]))

    async def _search(self, key: str, query: str, pinned: int | None, shown: Sequence[str]) -> dict[str, Any]:
        section = self.section
        wide = max(section.k, section.candidates)
        if section.select == "reasoning":
            # A line of a concept takes more than this, so that a larger memory cannot fit as a whole.
            wide = max(wide, section.select_tokens // 8)

        async def search() -> dict[str, Any]:
            def look() -> dict[str, Any]:
                store = self.memory()
                read = store.version() if pinned is None else pinned
                hits = store.recall(
                    query, k=wide, version=read, mode=section.search, diversity=section.diversity, candidates=wide
                )
                degraded = getattr(store, "degraded", None)
                unseen = [hit for hit in hits if hit.id not in shown]
                kept, others = _kept(unseen, section, degraded=bool(degraded))
                return {
                    "version": read,
                    "degraded": degraded,
                    "mode": "lexical" if degraded else section.search,
                    "hits": [hit.model_dump(mode="json") for hit in kept],
                    "others": others,
                }

            return await asyncio.to_thread(look)

        request = {"query": query, "k": section.k, "version": pinned, **_unusual(section)}
        return await self.ctx.effects.effect(key, request, search, type="recall")


def _unusual(section: MemorySection) -> dict[str, Any]:
    """What the section sets of the search itself; nothing at the defaults, so that journals written before hold."""
    names = (
        "search",
        "candidates",
        "diversity",
        *(("select", "select_tokens") if section.select == "reasoning" else ()),
    )
    return {
        name: value for name in names if (value := getattr(section, name)) != MemorySection.model_fields[name].default
    }


def _found(hits: Sequence[Hit], section: MemorySection) -> list[Found]:
    """With the ranks before diversity; without diversity the order given is the plain one, whichever memories it joins."""
    plain = [hit.why.get("rank", place) if section.diversity else place for place, hit in enumerate(hits, start=1)]
    return [Found(hit.id, hit.score, int(rank)) for hit, rank in zip(hits, plain, strict=True)]


def _reasons(hits: Sequence[Hit], section: MemorySection, *, degraded: bool) -> Mapping[str, str]:
    return choose(_found(hits, section), section.k, least=None if degraded else section.least_similarity)


def _plain(hits: Sequence[Hit], section: MemorySection) -> list[Hit]:
    """Those that the plain order puts among the first k."""
    first = {item.id for item in sorted(_found(hits, section), key=lambda item: item.rank)[: section.k]}
    return [hit for hit in hits if hit.id in first]


def _kept(hits: Sequence[Hit], section: MemorySection, *, degraded: bool) -> tuple[list[Hit], list[dict[str, Any]]]:
    """(hits whose text may be needed, the record of the others)."""
    if section.select != "none":
        return list(hits), []
    reasons = _reasons(hits, section, degraded=degraded)
    near = {hit.id for hit in _plain(hits, section)}
    kept = [hit for hit in hits if not reasons[hit.id] or hit.id in near]
    others = [_outcome(hit, None, reasons[hit.id], None) for hit in hits if reasons[hit.id] and hit.id not in near]
    return kept, others


def _outcome(hit: Hit, item: MemoryRecall | None, reason: str, picked: Picked | None) -> dict[str, Any]:
    said = "" if picked is None else picked.why.get(hit.id, "")
    return {
        "id": hit.id,
        "score": hit.score,
        "trust": hit.trust,
        "ranks": hit.why,
        "selected": item is not None,
        "rendered": item is not None and item.rendered,
        "reason": reason if item is None else item.reason,
        **({"text": said} if said else {}),
    }


def _left_out(hit: Hit, reason: str) -> MemoryRecall:
    said = hit.concept.suggestion
    return MemoryRecall(id=hit.id, score=hit.score, rendered=False, text=said, trust=hit.trust, reason=reason)


def recall_calls(section: MemorySection) -> tuple[int, int]:
    """(least, most) calls before a strategy that the memory costs a task; each but those of the probe may be asked again
    once. The depth is 1 for the probe, and 1 for each other call."""
    if section.mode == "off":
        return 0, 0
    asked = int(section.describe) + int(section.select != "none")
    # With nothing found there is nothing to select from.
    least = 0 if section.skip_easy else int(section.describe)
    return section.skip_easy + least, section.skip_easy + 2 * asked
