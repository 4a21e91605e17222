"""The chat client of phronesis: limiter, retries, account, journal. With ``node`` each call is one run of a LangGraph graph
with a single node."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypedDict

from measure import Job, Work, in_waves, serve

from phronesis.agents.client.endpoint import Endpoint
from phronesis.agents.client.run_client import Journaled, Metered
from phronesis.core.budget import Account, Branch
from phronesis.core.chat import ChatRequest, Sampling
from phronesis.core.effects import Effects
from phronesis.core.http import close_pools
from phronesis.core.journal import Journal
from phronesis.core.site import Site
from phronesis.core.task import Message


class _State(TypedDict):
    number: int


def in_node(call: Callable[[int], Awaitable[Any]]) -> Callable[[int], Awaitable[Any]]:
    """The same call made by the only node of a graph."""
    from langgraph.graph import END, START, StateGraph

    async def node(state: _State) -> _State:
        await call(state["number"])
        return state

    graph = StateGraph(_State)
    graph.add_node("call", node)
    graph.add_edge(START, "call")
    graph.add_edge("call", END)
    compiled = graph.compile()
    return lambda number: compiled.ainvoke({"number": number})


@asynccontextmanager
async def opened(job: Job) -> AsyncIterator[Work]:
    endpoint = Endpoint(base_url=job.url, concurrency=256)
    await endpoint.profile()
    journal = Journal(Path(job.scratch))
    client = Journaled(Metered(endpoint), Effects(journal, "t"), seed=0, task="t")
    request = ChatRequest(
        messages=(Message(role="user", content="What is 3 + 4?"),),
        sampling=Sampling(max_tokens=100_000),
        logprobs=int(job.logprobs),
    )
    account = Account()
    numbers = itertools.count()

    async def call(number: int) -> None:
        await client.sample(request, 1, site=Site(Branch(f"b{number}", account), "solver"))

    one = in_node(call) if job.options.get("node") else call
    try:
        yield lambda calls: in_waves(lambda: one(next(numbers)), calls, job.in_flight)
    finally:
        journal.close()
        await close_pools()


if __name__ == "__main__":
    serve(opened)
