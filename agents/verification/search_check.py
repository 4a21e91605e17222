"""A check against documents: its question is searched for, and answered from what is found."""

from __future__ import annotations

from dataclasses import dataclass

from phronesis.agents.passages import numbered
from phronesis.agents.verification.checking import Check, CheckAnswer
from phronesis.agents.verification.model_check import ModelChecker
from phronesis.core.chat import Sampling
from phronesis.core.errors import RetrievalError
from phronesis.core.ports import ChatClient, DocumentSearch
from phronesis.core.site import Site
from phronesis.core.task import Task

NOTHING = "nothing was found"


@dataclass(frozen=True, kw_only=True)
class SearchChecker:
    """One search, then 1 call, or 2; none where nothing is found, which leaves the question ``unknown``."""

    client: ChatClient
    sampling: Sampling
    search: DocumentSearch | None
    k: int = 3
    most_calls: int = 2

    async def check(self, task: Task, check: Check, *, site: Site) -> CheckAnswer:
        if self.search is None:
            return CheckAnswer(answer="unknown", explanation="there are no documents to search", by="search")
        try:
            (found,) = await self.search.search(
                [check.question], k=self.k, branch=site.branch, occurrence=f"{site.role}.{site.occurrence}"
            )
        except RetrievalError as error:
            return CheckAnswer(answer="unknown", explanation=error.message, by="search")
        if not found:
            return CheckAnswer(answer="unknown", explanation=NOTHING, by="search")
        model = ModelChecker(client=self.client, sampling=self.sampling)
        return await model.answer(task, check, numbered(found, characters=800), by="search", site=site)
