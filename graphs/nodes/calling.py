"""Tool calls inside a run: allowed by name, budget and, where needed, a person; journalled, cut, kept per argument."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

import orjson

from phronesis.core.bank import unrecorded
from phronesis.core.budget import Account, ToolSpent
from phronesis.core.effects import Effects
from phronesis.core.errors import (
    BudgetExhausted,
    OutcomeUnknown,
    PhronesisError,
    ReplayDiverged,
    ResumeRefused,
    ToolError,
)
from phronesis.core.retrieval import Passage
from phronesis.core.side_by_side import side_by_side
from phronesis.core.site import Site
from phronesis.core.tool import Tool, ToolCall, ToolOutput, ToolResult, ToolSpec
from phronesis.graphs.sources import Sources

_MOST_DATA = 20_000
"""Bytes of a result's ``data`` that are kept."""


@dataclass(frozen=True)
class Permission:
    """What a person said of a call."""

    allowed: bool
    call: ToolCall
    """As it may be carried out."""
    reason: str = ""


Approve = Callable[[ToolCall, Site], Awaitable[Permission]]


@dataclass
class ToolBox:
    """The tools of one task: the only ones that can be called in it."""

    sources: Sources
    effects: Effects
    approve: Approve
    """Asks a person."""
    asks: Callable[[ToolSpec], bool]
    """Whether a person is asked before a tool."""
    output: int
    found: dict[str, tuple[Passage, ...]] = field(default_factory=dict)
    """Passages that results show, by the call's key; shared with the searcher."""
    _kept: dict[bytes, asyncio.Future[ToolResult]] = field(default_factory=dict)
    _served: set[str] = field(default_factory=set)
    """Tools of which an earlier session's results were used."""

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        """What models are told, as the run began with it."""
        return self.sources.specs

    async def call_all(self, calls: Sequence[ToolCall], *, site: Site) -> tuple[ToolResult, ...]:
        """Results in the order of the calls, which run side by side; units are granted in that order."""
        return tuple(await side_by_side([self.call(call, site=site.at(f"c{i}")) for i, call in enumerate(calls)]))

    async def call(self, call: ToolCall, *, site: Site) -> ToolResult:
        """What the call brought; whatever goes wrong inside the tool is a result for the model to read. No model call.

        A pure tool's result is kept for the task: the same arguments bring it again, for no unit. Raises AwaitingAnswer when
        a person has to be asked and nobody is there; ResumeRefused past a stateful tool; ReplayDiverged where the tool or its
        documents are not what the run began with; ToolError where an impure call was begun and its outcome is unknown."""
        account = site.branch.account
        spec = next((spec for spec in self.specs if spec.name == call.name), None)
        if spec is None:
            near = get_close_matches(call.name, [spec.name for spec in self.specs], n=1, cutoff=0.4)
            known = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(s.name for s in self.specs)}"
            account.book_tool(call.name, ToolSpent(calls=1, refused=1))
            text = f"there is no tool {call.name!r}; {known}"
            return self._told(ToolResult(call=call, status="refused", text=text), site)
        if self.asks(spec):
            verdict = await self.approve(call, site)
            call = verdict.call
            if not verdict.allowed:
                account.book_tool(spec.name, ToolSpent(calls=1, refused=1))
                why = f": {verdict.reason}" if verdict.reason else ""
                text = f"a person did not allow this call{why}"
                return self._told(ToolResult(call=call, status="refused", text=text), site)
        if not spec.pure:
            return await self._made(spec, call, site)
        name = orjson.dumps([spec.name, call.arguments], option=orjson.OPT_SORT_KEYS)
        before = self._kept.get(name)
        if before is not None:
            kept = await asyncio.shield(before)
            if kept.status == "ok":
                account.book_tool(spec.name, ToolSpent(calls=1))
                return self._told(kept.model_copy(update={"call": call, "units": 0, "cached": True}), site)
        mine = self._kept[name] = asyncio.get_running_loop().create_future()
        try:
            result = await self._made(spec, call, site)
        except BaseException:
            del self._kept[name]
            mine.cancel()
            raise
        mine.set_result(result)
        return result

    def _told(self, result: ToolResult, site: Site) -> ToolResult:
        """The result of a call that was not carried out, noted for those who read the journal."""
        self.effects.note(
            "node", f"{site.key}>", {"result": result.model_dump(mode="json", exclude={"data", "passages"})}
        )
        return result

    async def _made(self, spec: ToolSpec, call: ToolCall, site: Site) -> ToolResult:
        """The call as an effect, charged the same whether it is made or read."""
        account, key = site.branch.account, f"{site.key}>"
        wanted = spec.units_of(call.arguments)
        request = {"tool": spec.name, "arguments": call.arguments}
        made = False
        earlier = spec.name in self._served and not self.effects.replays
        if spec.stateful and earlier and not self.effects.has(key, request):
            raise ResumeRefused(
                f"the tool {spec.name!r} keeps state between calls, and that of the earlier session is gone",
                mend="start a new run",
            )

        async def work() -> ToolResult:
            nonlocal made
            if self.effects.replays:
                raise unrecorded(ToolError, f"result of {key!r}, and a replay calls no tool")
            made = True
            granted = account.take_units(spec.name, wanted)
            if not granted:
                limit = account.budget.tools[spec.name]
                text = f"no unit of {spec.name!r} is left: the budget of {limit} is used up"
                return ToolResult(call=call, status="refused", text=text)
            cut = call.model_copy(update={"arguments": spec.first_units(call.arguments, granted)})
            result = await self._run(spec, cut, account)
            if granted < wanted:
                said = f"\n[only the first {granted} of {wanted} were done: the budget of {spec.name!r} is used up]"
                result = result.model_copy(update={"text": result.text + said})
            return result.model_copy(update={"units": granted})

        if not self.effects.replays and not self.effects.has(key, request):
            await self._opened(spec)
        try:
            result = await self.effects.effect(
                key,
                request,
                work,
                encode=lambda value: value.model_dump(mode="json"),
                decode=ToolResult.model_validate,
                note={"role": f"tool {spec.name}"} if spec.pure else {"tool": spec.name},
                impure=not spec.pure,
            )
        except OutcomeUnknown as error:
            asked = f"{spec.name}({orjson.dumps(call.arguments).decode()[:200]})"
            raise OutcomeUnknown(
                f"{asked} was started before the run was stopped and its outcome is unknown", mend=error.mend
            ) from None
        if not made:
            self._served.add(spec.name)
            account.readmit_units(spec.name, wanted, result.units)
        spent = ToolSpent(calls=1, failed=result.status == "error", refused=wanted - result.units)
        account.book_tool(spec.name, spent)
        if result.passages:
            self.found[key] = result.passages
        return result

    async def _opened(self, spec: ToolSpec) -> Tool:
        """The tool. What cannot be opened again is an error of the run and no result for the model to read."""
        tools = await self.sources.tools()
        if spec.name not in tools:
            raise ReplayDiverged(
                f"the tool {spec.name!r} is no longer there: the run began with it",
                mend="bring it back, or start a new run",
            )
        return tools[spec.name]

    async def _run(self, spec: ToolSpec, call: ToolCall, account: Account) -> ToolResult:
        left = account.seconds_left
        seconds = spec.timeout if left is None else min(spec.timeout, max(left, 0.0))
        try:
            tool = await self._opened(spec)
            async with asyncio.timeout(seconds):
                output = await tool.call(call.arguments)
        except TimeoutError:
            if left is not None and left < spec.timeout:
                raise account.deny("seconds") from None
            return ToolResult(call=call, status="error", text=f"{spec.name} took longer than {spec.timeout:g} s")
        except BudgetExhausted:
            raise
        except ToolError as error:
            hint = f" ({error.mend})" if error.mend else ""
            return ToolResult(call=call, status="error", text=f"{error.message}{hint}")
        except PhronesisError as error:
            return ToolResult(call=call, status="error", text=f"{spec.name} failed: {error.message}")
        except Exception as error:
            # The boundary to other people's tools, which raise anything.
            return ToolResult(call=call, status="error", text=f"{spec.name} failed: {type(error).__name__}: {error}")
        return self._shown(call, output)

    def _shown(self, call: ToolCall, output: ToolOutput) -> ToolResult:
        text, cut = output.text, len(output.text) > self.output
        if cut:
            text = f"{text[: self.output]}\n[cut off: {len(output.text) - self.output} more characters]"
        data: Any = output.data
        try:
            too_much = len(orjson.dumps(data)) > _MOST_DATA
        except TypeError:
            too_much = True
        return ToolResult(
            call=call, text=text, truncated=cut, data=None if too_much else data, passages=output.passages
        )
