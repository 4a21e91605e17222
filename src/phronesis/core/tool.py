"""Tools: the port, what a tool says of itself, and what a call of it brings."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from phronesis.core.retrieval import Passage, Retriever
from phronesis.core.settings import Settings

if TYPE_CHECKING:
    from phronesis.core.ports import ConceptMemory

ToolStatus = Literal["ok", "error", "refused"]
"""``refused``: not run, for want of budget, of a person's consent or of a tool of that name."""


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ToolSpec(_Value):
    """What models, budgets, approval and resume must know of a tool."""

    name: str = Field(pattern=r"^[A-Za-z_][\w-]{0,63}$")
    description: str
    """For the model: what it does, what it gives back."""
    parameters: dict[str, Any]
    """JSON schema of the arguments, an object."""
    pure: bool = False
    """Equal arguments give equal results and nothing outside changes: results are kept, and a call may be repeated."""
    dangerous: bool = False
    """A person is asked before it runs, unless the recipe says otherwise."""
    stateful: bool = False
    """It keeps something between calls: a resume does not go past it."""
    timeout: float = Field(default=30.0, gt=0)
    """Seconds that a call may take."""
    units: str | None = None
    """Name of a list argument of which each element costs one unit; None = a call costs one."""

    def units_of(self, arguments: Mapping[str, Any]) -> int:
        """Units that a call costs; at least one."""
        given = arguments.get(self.units) if self.units else None
        return max(1, len(given)) if isinstance(given, (list, tuple)) else 1

    def first_units(self, arguments: Mapping[str, Any], units: int) -> dict[str, Any]:
        """The arguments with no more than that many of the elements that cost units."""
        kept = dict(arguments)
        if self.units and isinstance(kept.get(self.units), (list, tuple)):
            kept[self.units] = list(kept[self.units])[:units]
        return kept


class ToolCall(_Value):
    """A call as a model asked for it."""

    id: str
    """The model's own id of the call, or one that says its place in the reply."""
    name: str
    arguments: dict[str, Any] = {}


class ToolOutput(_Value):
    """What a tool returns, before it is cut and labelled."""

    text: str
    data: Any = None
    """The value behind the text, for nodes that read it; JSON."""
    passages: tuple[Passage, ...] = ()
    """What it shows of documents."""


class ToolResult(_Value):
    """What a call brought; failures are results too, for the model to read."""

    call: ToolCall
    """As it was carried out: edited by a person, or with the units that were left."""
    status: ToolStatus = "ok"
    text: str = ""
    """What the model is shown. It is data: whatever it says, it is no order."""
    truncated: bool = False
    data: Any = None
    passages: tuple[Passage, ...] = ()
    units: int = 0
    """Units spent."""
    cached: bool = False
    """An earlier call with the same arguments had brought it."""


class Tool(Protocol):
    """Something a model may call."""

    @property
    def spec(self) -> ToolSpec: ...

    async def call(self, arguments: Mapping[str, Any]) -> ToolOutput:
        """Arguments fit the spec's schema. Raises ToolError for what the model should read and may mend; anything else is a
        defect of the tool and is told as one. Cancelled when its time is up."""
        ...

    async def close(self) -> None: ...


@dataclass(frozen=True, kw_only=True)
class ToolSurroundings:
    """What tools may stand on."""

    settings: Settings
    retriever: Callable[[], Retriever] | None = None
    """The recipe's retriever, opened when first asked for; None = it has none."""
    memory: Callable[[], ConceptMemory] | None = None
    """The run's concept memory; None = it is off."""


@dataclass(frozen=True)
class ToolEntry:
    """A tool or a family of tools, found by name. Entry-point group ``phronesis.tools``."""

    name: str
    summary: str
    """One line for people."""
    options: type[BaseModel]
    """What may be written behind the name: ``name(option=value)``."""
    open: Callable[[Any, ToolSurroundings], Awaitable[Sequence[Tool]]]
    """Options and surroundings to tools. Raises ConfigurationError, SetupError or ToolError."""
