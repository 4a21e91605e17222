"""The trace of IterDRAG: a line at a time within its limits, and what becomes of it at the end."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from phronesis.agents.demonstrations import Demonstration, rendered
from phronesis.agents.passages import citations, numbered
from phronesis.agents.trace_reader import PREFIXES, Line, LineKind, TraceReader, shown
from phronesis.core.chat import ChatRequest, Completion
from phronesis.core.errors import ModelError
from phronesis.core.result import Candidate
from phronesis.core.retrieval import Passage
from phronesis.core.site import Site
from phronesis.graphs.context import RunContext
from phronesis.graphs.nodes.attempts import brief, stop_reason, to_candidate
from phronesis.graphs.nodes.demonstrating import measured, too_long
from phronesis.graphs.nodes.reading import note_citations
from phronesis.graphs.policies.documents import Place, without_lowest
from phronesis.graphs.state import Outcome

if TYPE_CHECKING:
    from phronesis.graphs.retrieval.iterdrag import IterDragKnobs

_MARKS = re.compile(r"\s*\[\d+(?:\s*[,;]\s*\d+)*\]")


@dataclass(frozen=True, kw_only=True)
class Tracer:
    """Writes lines."""

    ctx: RunContext
    knobs: IterDragKnobs
    reader: TraceReader
    demos: Sequence[Demonstration]

    def last_call(self) -> bool:
        """Whether calls or depth allow one call more and no other; noted as the limit that stopped something."""
        account = self.ctx.root.account
        deep = account.budget.depth
        if account.remaining is not None and account.remaining < 2:
            account.deny("calls")
            return True
        if deep is not None and deep - account.level < 2:
            account.deny("depth")
            return True
        return False

    async def line(
        self,
        site: Site,
        kinds: Sequence[LineKind],
        seen: Sequence[Passage],
        block: tuple[Place, ...],
        trace: Sequence[Line],
        *,
        last: bool = False,
    ) -> tuple[tuple[Place, ...], Line | None]:
        """The block as it was shown, and the next line: 1 call, or 2. None: L_max leaves no room for this prompt and a
        final answer behind it. Raises ModelError, also for a prompt that is too long without any document;
        BudgetExhausted."""
        kept, request = await self._fitted(site, kinds, seen, block, trace, last=last)
        if request is None:
            return block, None
        return kept, await self.reader.write(request, kinds, site=site)

    async def _fitted(
        self,
        site: Site,
        kinds: Sequence[LineKind],
        seen: Sequence[Passage],
        block: tuple[Place, ...],
        trace: Sequence[Line],
        *,
        last: bool,
    ) -> tuple[tuple[Place, ...], ChatRequest | None]:
        """The longest block that fits, and the request over it. For a line that is not the last, L_max has to leave room
        for a prompt as long behind it; the last one gives up documents until it fits."""
        longest, whole = self.knobs.max_prompt_tokens, self.knobs.max_input_tokens
        request = self._request(kinds, seen, block, trace)
        if longest is None and whole is None:
            return block, request
        left = None if whole is None else whole - _spent(self.ctx)
        for number in range(len(block) + 1):
            length = await measured(self.ctx, self.reader.client, request, f"{site.key}=length{number}")
            if left is not None and not last and 2 * length > left and (longest is None or length <= longest):
                return block, None
            over_prompt = longest is not None and length > longest
            if not over_prompt and (left is None or not last or length <= left):
                return block, request
            if not block:
                if over_prompt:
                    raise too_long(site, length, longest or 0, "max_prompt_tokens")
                raise too_long(site, length, whole or 0, "max_input_tokens")
            block = without_lowest(block)
            request = self._request(kinds, seen, block, trace)
        raise AssertionError("a block without documents fits or is rejected")

    def _request(
        self, kinds: Sequence[LineKind], seen: Sequence[Passage], block: Sequence[Place], trace: Sequence[Line]
    ) -> ChatRequest:
        knobs, ctx = self.knobs, self.ctx
        pieces = [
            numbered([seen[place.number - 1]], characters=knobs.passage_characters, first=place.number)
            for place in block
        ]
        searched = knobs.k > 0 or (knobs.n > 0 and knobs.k_sub > 0)
        return self.reader.request(
            ctx.task,
            ctx.answers.format,
            kinds,
            trace,
            passages="\n\n".join(pieces) or ("(No passage was found.)" if searched else ""),
            demonstrations=rendered(
                self.demos, self._answered, k=None if searched else 0, characters=knobs.passage_characters
            ),
            memory=ctx.memory,
        )

    def _answered(self, item: Demonstration) -> str:
        lines: list[Line] = []
        for pair in item.trace:
            lines += [Line("sub_query", pair.query), Line("intermediate", pair.answer)]
        return shown([*lines, Line("final", item.answer.strip())], self.knobs.form)

    def said(
        self,
        trace: Sequence[Line],
        line: Line | None,
        why: str,
        forced: bool,
        seen: Sequence[Passage],
        block: Sequence[Place],
    ) -> dict[str, Any]:
        """The decision ``trace``."""
        return {
            "rule": "trace",
            "pairs": _pairs(trace),
            "final": None if line is None else line.text,
            "forced": forced,
            "why": why,
            "documents": [seen[place.number - 1].id for place in block],
            "numbers": [place.number for place in block],
            "found": len(seen),
            "demonstrations": self.knobs.m,
            "input_tokens": _spent(self.ctx),
        }


def _spent(ctx: RunContext) -> int:
    """Input tokens of all lines so far."""
    booked = ctx.root.account.by_role.get("reader")
    return 0 if booked is None else booked.prompt_tokens


def _pairs(trace: Sequence[Line]) -> list[dict[str, str]]:
    """Sub-questions with their answers; an answer that no sub-question stands before has an empty one."""
    pairs: list[dict[str, str]] = []
    asked = ""
    for line in trace:
        if line.kind == "sub_query":
            asked = line.text
        else:
            pairs.append({"query": asked, "answer": line.text})
            asked = ""
    return pairs


def ended_with(
    ctx: RunContext,
    trace: Sequence[Line],
    line: Line | None,
    error: ModelError | None,
    *,
    seen: Sequence[Passage],
    why: str,
    closed: bool,
) -> Outcome:
    """The outcome: the final answer; else the last intermediate answer, which is the best so far; else nothing."""
    made: list[Candidate] = []
    if error is not None:
        made.append(to_candidate(error, id="c0", space=ctx.answers, where="task reader"))
    spare = next((item for item in reversed(trace) if item.kind == "intermediate"), None)
    if line is not None:
        made.append(_candidate(ctx, "c0", trace, PREFIXES["final"], line))
    elif spare is not None:
        made.append(_candidate(ctx, f"c0.r{len(trace)}", trace, "Answer so far:", spare))
    chosen = made[-1] if made and made[-1].status != "failed" else None
    for candidate in made:
        ctx.note("node", f"read.{candidate.id}", {"candidates": [brief(candidate)]})
    if chosen is not None:
        cited = citations(chosen.text, {number: item.id for number, item in enumerate(seen, start=1)})
        ctx.search.cite(chosen.id, cited.ids, cited.invented)
        note_citations(ctx, chosen.id)
    ends = {"last call": "iterations", "exhausted": "iterations"}
    stop = stop_reason(ctx, made, ends.get(why, why) if seen or closed else "ungrounded")
    answer = None if chosen is None else chosen.answer
    return {
        "candidates": tuple(made),
        "answer": answer,
        "chosen": None if chosen is None else chosen.id,
        "stop": stop,
    }


def _candidate(ctx: RunContext, id: str, trace: Sequence[Line], prefix: str, line: Line) -> Candidate:
    """The trace as text with the answer marked at its end."""
    said = line.text if prefix == PREFIXES["final"] else _MARKS.sub("", line.text)
    plain = ctx.answers.format == "code" or "\\boxed{" in said or said.count("{") != said.count("}")
    marked = f"\n{said}" if ctx.answers.format == "code" else f" {said}" if plain else f" \\boxed{{{said}}}"
    text = "\n".join([*([shown(trace, "lines")] if trace else []), f"{prefix}{marked}"])
    tokens = line.tokens + sum(item.tokens for item in trace if item is not line)
    return to_candidate(Completion(text=text, tokens=tokens), id=id, space=ctx.answers)
