"""A recipe as a solver of inspect_ai: its tasks, scorers and logs around our strategies (extra ``bench``).

Calls go to the endpoint of our own settings and not through inspect_ai's models, so give its evaluation ``model="none"``, and
read tokens from the sample's metadata or its output's usage.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from phronesis.bench.inspect_needed import need_inspect
from phronesis.core.errors import ConfigurationError, ModelError
from phronesis.core.result import Result
from phronesis.core.seeds import derive
from phronesis.core.settings import Settings
from phronesis.core.task import AnswerFormat, Message, Task
from phronesis.graphs.recipe import Recipe

if TYPE_CHECKING:
    from inspect_ai.model import ChatMessage, ModelOutput
    from inspect_ai.solver import Generate, Solver, TaskState


def phronesis_solver(
    recipe: str | Path,
    overrides: Mapping[str, Any] | None = None,
    *,
    answer_format: AnswerFormat | None = None,
    output: Literal["answer", "attempt"] = "answer",
    settings: Settings | None = None,
) -> Solver:
    """The solver: each sample is one run of the recipe, with a journal of its own.

    Sets the output to the answer, which is what scorers compare (an answer that could not be read: to the attempt), or
    with ``output="attempt"`` to the chosen attempt's whole text; and ``metadata["phronesis"]`` to answer, text, calls,
    tokens, stop reason and run id. Each epoch has a seed of its own; the first one the recipe's. A task of which no attempt
    came out raises ModelError, which makes the sample an error: ``fail_on_error=False`` lets the others go on.
    Raises RecipeError for a wrong recipe or override at once; SetupError without inspect_ai."""
    need_inspect()
    from inspect_ai.solver import solver

    given = dict(overrides or {})
    first = Recipe.load(recipe, overrides=given)

    @solver(name="phronesis")
    def made(recipe: str, overrides: dict[str, Any]) -> Solver:
        async def solve(state: TaskState, generate: Generate) -> TaskState:
            task = Task(messages=messages_of(state.messages), answer_format=answer_format)
            seed = first.file.seed if state.epoch <= 1 else derive(first.file.seed, "epoch", state.epoch)
            mine = first if state.epoch <= 1 else Recipe.load(recipe, overrides={**overrides, "seed": seed})
            result = await mine.arun(task, settings=settings)
            if result.status == "failed":
                reason = "; ".join(f"{failure.error}: {failure.message}" for failure in result.failures[:3])
                raise ModelError(f"no attempt at sample {state.sample_id!r} came out, run {result.run_id}: {reason}")
            said = result.answer if output == "answer" else result.answer_text
            state.output = output_of(result, said or result.answer_text or result.answer or "")
            state.messages.append(state.output.message)
            state.metadata["phronesis"] = account_of(result)
            return state

        return solve

    return made(recipe=str(recipe), overrides=given)


def messages_of(chat: Sequence[ChatMessage]) -> tuple[Message, ...]:
    """The conversation as ours. Raises ConfigurationError for a turn of a tool, which our tasks do not have."""
    found = []
    for message in chat:
        if message.role == "tool":
            raise ConfigurationError("the sample holds a tool's turn", mend="let the recipe come before tool calls")
        found.append(Message(role=message.role, content=message.text))
    return tuple(found)


def output_of(result: Result, text: str) -> ModelOutput:
    """The text as a model's output, with the tokens of the whole run."""
    from inspect_ai.model import ModelOutput, ModelUsage

    usage = result.usage
    output = ModelOutput.from_content(model=f"phronesis/{result.recipe}", content=text)
    output.usage = ModelUsage(
        input_tokens=usage.prompt_tokens - usage.cached_tokens,
        input_tokens_cache_read=usage.cached_tokens,
        output_tokens=usage.completion_tokens,
        total_tokens=usage.prompt_tokens + usage.completion_tokens,
    )
    output.time = usage.seconds
    return output


def account_of(result: Result) -> dict[str, Any]:
    """What a sample's metadata say of its run."""
    usage = result.usage
    return {
        "answer": result.answer,
        "text": result.answer_text,
        "calls": usage.calls,
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "by_role": {role: spent.model_dump(mode="json") for role, spent in usage.by_role.items()},
        "depth": result.depth,
        "stop_reason": result.stop_reason,
        "degraded": list(result.degraded),
        "run_id": result.run_id,
        "journal": result.journal,
    }
