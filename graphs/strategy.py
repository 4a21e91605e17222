"""What a strategy is: knobs, a function that builds its graph, its cost law, what it asks of a server."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from phronesis.agents.client.profile import Capability
from phronesis.graphs.cost import CostLaw

if TYPE_CHECKING:
    from langgraph.graph.state import CompiledStateGraph


class Knobs(BaseModel):
    """Base of every strategy's knobs: frozen, unknown names refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


K = TypeVar("K", bound=Knobs)


@dataclass(frozen=True, kw_only=True)
class Strategy(Generic[K]):
    """A method. ``build`` and ``cost`` are pure functions of the knobs."""

    name: str
    summary: str
    """One line for ``recipes list``."""
    paper: str
    """Title and arXiv number."""
    knobs: type[K]
    build: Callable[[K], CompiledStateGraph[Any, Any, Any, Any]]
    """A compiled graph whose context is RunContext and whose state ends as state.Outcome."""
    cost: Callable[[K], CostLaw]
    supersteps: Callable[[K], int]
    """Most LangGraph super-steps of one task: the recursion limit."""
    needs: Callable[[K], Mapping[str, tuple[Capability, ...]]]
    """Role -> what its endpoint must offer; names every role the strategy calls."""
    retrieves: Callable[[K], bool] = lambda knobs: False
    """Whether it searches documents, so that the recipe has to name some."""
    uses_tools: Callable[[K], bool] = lambda knobs: False
    """Whether it calls the tools of the recipe's section ``[tools]``."""
    verifies: bool = False
    """Whether it is itself a loop of attempts and verdicts, around which ``[verify]`` makes no sense."""
    scorers: Callable[[K], tuple[str, ...]] = lambda knobs: ()
    """The scorers the knobs name, as written; a run says so when one of them tested at chance."""
