"""After a strategy: what a run taught is drafted, which takes calls, and then committed, which takes the memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from phronesis.agents.abstractor import Abstractor
from phronesis.agents.parameterised import ParameterisedAbstractor, resolve
from phronesis.core.chat import Sampling
from phronesis.core.concept import Concept, Evidence
from phronesis.core.errors import BudgetExhausted, ConceptStoreError, ModelError
from phronesis.core.ports import ConceptMemory
from phronesis.core.result import MemoryRecall, MemoryWrite
from phronesis.core.site import Site
from phronesis.graphs.context import RunContext
from phronesis.graphs.memory_section import MemorySection
from phronesis.graphs.nodes.accepting import Judged, quotations
from phronesis.graphs.nodes.attempts import failure_of
from phronesis.graphs.policies.provenance import without

ABSTRACTOR_SAMPLING = Sampling(temperature=0.2, top_p=0.95, max_tokens=200)
PARAMETERISED_TOKENS = 600
"""Longest reply of the parameterised form."""


@dataclass(frozen=True, kw_only=True)
class Draft:
    """What a task wants to write, before anything is written."""

    accepted: bool
    recalled: tuple[MemoryRecall, ...] = ()
    concepts: tuple[Concept, ...] = ()
    evidence: Evidence | None = None
    decided: tuple[MemoryWrite, ...] = ()
    """What was refused or failed already."""


@dataclass(frozen=True, kw_only=True)
class Learner:
    """The writing half of a memory for one task."""

    ctx: RunContext
    memory: Callable[[], ConceptMemory]
    section: MemorySection
    run_id: str
    version: int | None
    """The version the task reads; None = the latest when it is first asked for."""

    async def draft(self, judged: Judged, recalled: tuple[MemoryRecall, ...]) -> Draft:
        """The lessons of the run, or why there are none. Calls: ``learning_cost``; the memory is only read."""
        accepted = judged.acceptance.accepted
        draft = Draft(accepted=accepted, recalled=recalled)
        if self.section.mode != "write":
            return draft
        if not accepted and (not self.section.failures or judged.no_failure):
            why = f"; no failure lesson: {judged.no_failure}" if self.section.failures else ""
            return replace(draft, decided=(_decided("refused", f"{judged.acceptance.reason}{why}"),))
        try:
            concepts, refused = await self._abstracted(judged, recalled)
        except BudgetExhausted as error:
            return replace(draft, decided=(_decided("refused", error.message),))
        except (ModelError, ConceptStoreError) as error:
            self.ctx.report(failure_of(error, "memory abstractor"))
            return replace(draft, decided=(_decided("failed", error.message),))
        evidence = Evidence(
            run=self.run_id,
            task=self.ctx.task.id,
            verdict="accepted" if accepted else "rejected",
            verifier=judged.verifier,
            score=judged.score,
            note=judged.acceptance.reason,
        )
        return replace(draft, concepts=concepts, evidence=evidence, decided=refused)

    async def _abstracted(
        self, judged: Judged, recalled: Sequence[MemoryRecall]
    ) -> tuple[tuple[Concept, ...], tuple[MemoryWrite, ...]]:
        assert judged.chosen is not None
        ctx, site = self.ctx, Site(self.ctx.root.at("memory"), "abstractor")
        quoted = quotations(ctx, recalled)
        text = without(judged.chosen.text, quoted)
        client, longest = ctx.client_of("abstractor"), ABSTRACTOR_SAMPLING.max_tokens
        if not judged.acceptance.accepted:
            single = Abstractor(client=client, sampling=ctx.sampling("abstractor", ABSTRACTOR_SAMPLING))
            return await single.pitfall(ctx.task, text, _outcome(judged), site=site.at("pitfall")), ()
        if self.section.form == "parameterised":
            return await self._parameterised(text, site)
        wanted = self.section.lessons
        sampling = ctx.sampling("abstractor", replace(ABSTRACTOR_SAMPLING, max_tokens=longest * wanted))
        abstractor = Abstractor(client=client, sampling=sampling, lessons=wanted)
        if self.section.contrast and judged.others:
            rejected = without(judged.others[0].text, quoted)
            return await abstractor.contrast(ctx.task, text, rejected, site=site.at("contrast")), ()
        return await abstractor.abstract(ctx.task, text, site=site), ()

    async def _parameterised(self, text: str, site: Site) -> tuple[tuple[Concept, ...], tuple[MemoryWrite, ...]]:
        ctx = self.ctx
        longest = replace(ABSTRACTOR_SAMPLING, max_tokens=PARAMETERISED_TOKENS)
        abstractor = ParameterisedAbstractor(
            client=ctx.client_of("abstractor"), sampling=ctx.sampling("abstractor", longest)
        )
        budget = self.section.vocabulary_tokens
        seen = await self._read(
            "vocabulary",
            {"version": self.version, "token_budget": budget},
            lambda store, at: {"text": store.vocabulary(token_budget=budget, version=at)},
        )
        entries = await abstractor.abstract(ctx.task, text, str(seen["text"]), site=site)
        names, at = [entry.concept for entry in entries], int(seen["version"])
        known = await self._read(
            "names",
            {"version": at, "names": names},
            lambda store, _: {
                "concepts": {name: _said(item) for name, item in store.named(names, version=at).items()},
            },
        )
        concepts = {name: Concept.model_validate(item) for name, item in known["concepts"].items()}
        found = resolve(entries, concepts, source=ctx.task.id)
        return found.concepts, tuple(_decided("refused", why, name=name) for name, why in found.refused)

    async def _read(
        self, what: str, request: dict[str, Any], look: Callable[[ConceptMemory, int], dict[str, Any]]
    ) -> dict[str, Any]:
        """Something of the memory's version, as a journalled effect."""

        async def read() -> dict[str, Any]:
            def work() -> dict[str, Any]:
                store = self.memory()
                at = store.version() if self.version is None else self.version
                return {"version": at, **look(store, at)}

            return await asyncio.to_thread(work)

        return await self.ctx.effects.effect(f"memory#{what}", request, read)

    async def commit(self, draft: Draft) -> tuple[MemoryWrite, ...]:
        """Books the uses and writes the concepts; what became of them. No calls.

        Each is one journalled effect under an operation id: ledger first, journal second, never twice."""
        await self._count_use(draft)
        return (*await self._write(draft), *draft.decided)

    async def _write(self, draft: Draft) -> tuple[MemoryWrite, ...]:
        if not draft.concepts:
            return ()
        operation = f"{self.run_id}/{self.ctx.task.id}/memory#write"
        recalled = [item.id for item in draft.recalled]
        prompted = [item for item in draft.recalled if item.rendered or "/" in item.id]
        # Named only where it is wanted, so that memories without a review can be written to.
        options: dict[str, Any] = {"propose": True} if self.section.review else {}

        async def write() -> list[dict[str, Any]]:
            def work() -> list[MemoryWrite]:
                return self.memory().write(
                    draft.concepts,
                    operation=operation,
                    recalled=recalled,
                    evidence=draft.evidence,
                    prompted=prompted,
                    **options,
                )

            return [item.model_dump(mode="json") for item in await asyncio.to_thread(work)]

        request = {"operation": operation, "concepts": [_said(item) for item in draft.concepts], "recalled": recalled}
        try:
            written = await self.ctx.effects.effect("memory#write", {**request, **options}, write, type="write")
        except ConceptStoreError as error:
            self.ctx.report(failure_of(error, "memory write"))
            failed = _decided("failed", error.message)
            said = ("name", "suggestion", "situation")
            return tuple(failed.model_copy(update={key: getattr(item, key) for key in said}) for item in draft.concepts)
        return tuple(MemoryWrite.model_validate(item) for item in written)

    async def _count_use(self, draft: Draft) -> None:
        """Books the shown concepts as helped or harmed, once per task of a run; those of mounted memories are not ours."""
        ids = [item.id for item in draft.recalled if item.rendered and "/" not in item.id]
        if not ids:
            return
        operation = f"{self.run_id}/{self.ctx.task.id}/memory#use"

        async def book() -> bool:
            await asyncio.to_thread(lambda: self.memory().record_use(ids, accepted=draft.accepted, operation=operation))
            return True

        request = {"operation": operation, "ids": ids, "accepted": draft.accepted}
        try:
            await self.ctx.effects.effect("memory#use", request, book, type="write")
        except ConceptStoreError as error:
            self.ctx.report(failure_of(error, "memory use"))


def _outcome(judged: Judged) -> str:
    score = 0.0 if judged.score is None else judged.score
    share = "none" if score == 0 else "few"
    return f"of the programs or cases that were run, {share} gave the attempt's answer"


def _decided(outcome: str, reason: str, *, name: str = "") -> MemoryWrite:
    return MemoryWrite.model_validate({"outcome": outcome, "reason": reason, "name": name})


def _said(concept: Concept) -> dict[str, Any]:
    return concept.model_dump(mode="json", exclude_defaults=True)
