"""What a run searches and calls: its retriever and its tools, opened when first needed, held to what the run began with."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from difflib import get_close_matches
from typing import Any

from phronesis.agents.scorers.table import choose_scorer
from phronesis.core.bank import unrecorded
from phronesis.core.errors import RecipeError, ReplayDiverged, RetrievalError, ToolError
from phronesis.core.ports import ConceptMemory
from phronesis.core.retrieval import Retriever
from phronesis.core.settings import Settings
from phronesis.core.tool import Tool, ToolSpec, ToolSurroundings
from phronesis.graphs.filtered import Filtered
from phronesis.graphs.recipe import Recipe


class Sources:
    """The retriever and the tools of one run."""

    def __init__(
        self,
        recipe: Recipe,
        settings: Settings,
        *,
        memory: Callable[[], ConceptMemory],
        pinned: Mapping[str, Any] | None = None,
        replayed: bool = False,
    ) -> None:
        """``pinned``: what ``run_started`` has of them. ``replayed``: nothing is searched or called, only read."""
        self._recipe = recipe
        self._settings = settings
        self._memory = memory if recipe.file.memory.mode != "off" else None
        known = pinned or {}
        self.retriever_pin: dict[str, str] = dict(known.get("retriever", {}))
        """Name and fingerprint of the retriever; empty = there is none."""
        self.specs: tuple[ToolSpec, ...] = tuple(ToolSpec.model_validate(item) for item in known.get("tools", ()))
        """The tools as the run began with them: what models are told."""
        self._replayed = replayed
        self._retriever: Retriever | None = None
        self._tools: dict[str, Tool] | None = None
        self._opening = asyncio.Lock()

    @property
    def searches(self) -> bool:
        """Whether the recipe names documents."""
        return bool(self._recipe.file.retrieval.source)

    async def begin(self) -> None:
        """Opens what there is and pins it. Raises ConfigurationError, SetupError: nothing has been paid yet."""
        if self._recipe.strategy.retrieves(self._recipe.knobs) and not self.searches:
            raise RecipeError(
                f"{self._recipe.source}: the strategy {self._recipe.strategy.name!r} searches documents, and none are named",
                mend='name a knowledge base: --set retrieval.kb=NAME, or [retrieval] kb = "NAME" (phronesis kb list)',
            )
        if self.searches:
            found = await self.retriever()
            self.retriever_pin = {"name": found.name, "fingerprint": found.fingerprint}
        self.specs = tuple(tool.spec for tool in (await self.tools()).values())
        self._check_use()

    def _check_use(self) -> None:
        """Raises RecipeError for what would be passed over silently: tools that the strategy never calls, and units of a tool
        whose name is nearly that of another. Limits of tools that are not in use are let be: recipes share them."""
        recipe, strategy = self._recipe, self._recipe.strategy
        calls = strategy.uses_tools(recipe.knobs) or any(
            choose_scorer(text).tools for text in strategy.scorers(recipe.knobs)
        )
        if self.specs and not calls:
            raise RecipeError(
                f"{recipe.source}: the strategy {strategy.name!r} calls no tools, and some are named",
                mend="leave [tools] use out, or take what calls tools: react, bats, or the verifier deep_verifier",
            )
        known = ["search", *(spec.name for spec in self.specs)]
        for name in recipe.file.budget.tools:
            near = get_close_matches(name, known, n=1, cutoff=0.75)
            if name not in known and near:
                raise RecipeError(
                    f"{recipe.source}: budget.tools.{name} limits a tool that there is not",
                    mend=f"did you mean {near[0]!r}?",
                )

    @property
    def pins(self) -> dict[str, Any]:
        """What ``run_started`` keeps, for a resume and for replays."""
        return {"retriever": self.retriever_pin, "tools": [spec.model_dump(mode="json") for spec in self.specs]}

    async def retriever(self) -> Retriever:
        """Raises ReplayDiverged when the documents are not what the run began with; RetrievalError in a replay."""
        if self._replayed:
            raise unrecorded(RetrievalError, "result of this search, and a replay does not search")
        async with self._opening:
            if self._retriever is None:
                self._retriever = await asyncio.to_thread(self._open)
        if self.retriever_pin and self._retriever.fingerprint != self.retriever_pin["fingerprint"]:
            raise ReplayDiverged(
                f"{self._retriever.name!r} is not what it was when the run began: its documents or their embedder changed",
                mend="start a new run, or bring the documents back as they were",
            )
        return self._retriever

    def _open(self) -> Retriever:
        from phronesis.tools.retrievers import open_retriever

        return open_retriever(self._recipe.file.retrieval.source, self._settings)

    async def tools(self) -> Mapping[str, Tool]:
        """The tools by the names that models call them by. Raises ConfigurationError, SetupError, ToolError."""
        if not self._recipe.file.tools.use:
            return {}
        if self._replayed:
            raise unrecorded(ToolError, "result of this call, and a replay calls no tool")
        from phronesis.tools.table import open_tools

        retriever = await self.retriever() if self.searches else None
        async with self._opening:
            if self._tools is None:
                where = self._recipe.file.retrieval.where
                seen = Filtered(retriever, where) if retriever is not None and where else retriever
                around = ToolSurroundings(
                    settings=self._settings,
                    retriever=None if seen is None else lambda: seen,
                    memory=self._memory,
                )
                self._tools = await open_tools(self._recipe.file.tools.use, around)
        return self._tools

    async def close(self) -> None:
        """Lets go of whatever was opened, all of it even where one cannot be closed. Safe to call twice."""
        tools, self._tools = self._tools, None
        retriever, self._retriever = self._retriever, None
        async with AsyncExitStack() as opened:
            if retriever is not None:
                opened.push_async_callback(retriever.close)
            for tool in reversed(list((tools or {}).values())):
                opened.push_async_callback(tool.close)
