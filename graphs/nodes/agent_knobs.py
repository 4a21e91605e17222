"""What every strategy whose model calls tools can be set to."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from phronesis.agents.tool_user import Protocol
from phronesis.graphs.strategy import Knobs


class AgentKnobs(Knobs):
    """Of the agent's loop."""

    max_steps: int = Field(default=10, ge=1)
    """Horizon: most turns, answers included. TTI tests with 30."""
    at_horizon: Literal["answer", "none"] = "answer"
    """``answer``: when steps, budget or patience are over, the answer is asked for once without tools; ``none``: there is
    none, as in TTI."""
    tracker: bool = False
    """Shows what is used and left of each tool's budget after every response (Budget Tracker, arXiv 2511.17006)."""
    responses: int | None = Field(default=None, ge=1)
    """Newest tool responses that stay in the prompt; unset = all. BATS: 1; TTI: 3."""
    summary_after: int | None = Field(default=None, ge=1)
    """K: when more steps than this have passed, a summary takes their place; unset = never. BATS: 10."""
    most_problems: int = Field(default=3, ge=1)
    """Turns in a row that cannot be used (malformed, unknown tools, unreadable answers, lost calls) before it ends."""
    parallel_calls: int = Field(default=1, ge=1)
    """Calls that one turn may hold, made side by side; what is beyond is left out, and the agent told. BATS: 3 to 5."""
    protocol: Protocol = "auto"
    """How tools are called: by the server's own tool calls (``native``), as JSON (``prompted``), or as the server can."""
    min_answers: int = Field(default=1, ge=1)
    """TTI's min_try (arXiv 2506.07976): answers until one is accepted; before each further one a note asks to check again."""
    stop_on_agreement: bool = False
    """Two equal answers one after the other are enough; not in the paper."""
    nudges: int = Field(default=0, ge=0)
    """BATS' sequential baseline: an agent that answers is told to go on, until it has answered so many times in a row without
    a call; then the answer is asked for. The paper's: 5; 0 = off."""
    record_characters: int = Field(default=6000, ge=500)
    """Longest record of the steps that is shown where no tool can be called, to a verifier and to be summed up."""
    temperature: float = Field(default=0.0, ge=0)
    """Of the agent. ReAct is greedy, BATS has 0.7, TTI 1.0."""
    top_p: float = Field(default=0.95, gt=0, le=1)
    """Nucleus mass."""
    max_tokens: int = Field(default=512, ge=1)
    """Longest turn."""
    unit_price: float = Field(default=0.001, ge=0)
    """USD of one unit of a tool in the unified cost; the paper's."""
    prompt_price: float = Field(default=0.0, ge=0)
    """USD of a million prompt tokens in the unified cost; 0 = a model of your own."""
    cached_price: float = Field(default=0.0, ge=0)
    """Of those that a server took from its cache."""
    completion_price: float = Field(default=0.0, ge=0)
    """USD of a million generated tokens."""

    @model_validator(mode="after")
    def _one_way_to_go_on(self) -> Self:
        if self.nudges and self.min_answers > 1:
            raise ValueError(f"nudges = {self.nudges} and min_answers = {self.min_answers}: set one of them only")
        return self

    @property
    def most_turns(self) -> int:
        """Most calls of the agent in one run of the loop, the one for the answer included."""
        return self.max_steps + int(self.at_horizon == "answer")

    @property
    def most_summaries(self) -> int:
        """Most summaries in one run of the loop."""
        return 0 if self.summary_after is None else (self.max_steps - 1) // (self.summary_after + 1)
