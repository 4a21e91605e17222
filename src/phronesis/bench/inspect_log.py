"""A bench as logs of inspect_ai: one file per cell, which its viewer and ``read_eval_log`` open (extra ``bench``).

Figures are those of ``items.jsonl``, texts those of the journals; where a journal is gone the sample says so. A failed task
is a sample with its error, graded wrong; an ungraded one has no score.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

from phronesis import __version__
from phronesis.bench.inspect_needed import need_inspect
from phronesis.bench.running.folder import BenchFolder
from phronesis.bench.running.item import CallCost, Item
from phronesis.bench.running.plan import BenchPlan, Cell, cells
from phronesis.bench.running.summary import summary
from phronesis.core.errors import ConfigurationError
from phronesis.core.events import FILE_NAME, EventIndex
from phronesis.core.result import Candidate, Result
from phronesis.core.task import Task

if TYPE_CHECKING:
    from inspect_ai.log import EvalLog, EvalSample
    from inspect_ai.model import ChatCompletionChoice, ModelOutput, ModelUsage
    from inspect_ai.scorer import Score


@dataclass(frozen=True, slots=True)
class WrittenLog:
    """A log that was written."""

    path: Path
    cell: Cell
    samples: int
    without_texts: int
    """Samples whose journal is gone."""


def write_logs(folder: BenchFolder, out: Path) -> list[WrittenLog]:
    """A log for each cell that has items, in the plan's order; one that is there is written anew. Holds one cell's texts at
    a time. Raises ConfigurationError for a folder without items, SetupError without inspect_ai."""
    need_inspect()
    from inspect_ai.log import write_eval_log

    plan, by_cell = folder.plan(), dict[Cell, list[Item]]()
    for item in folder.items():
        by_cell.setdefault(Cell(item.arm, item.set, item.repeat), []).append(item)
    if not by_cell:
        raise ConfigurationError(f"{str(folder.path)!r} holds no items", mend="run the bench first")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"cannot make the folder {str(out)!r}: {error.strerror}", mend="choose another --out"
        ) from None
    written = []
    for cell in (cell for cell in cells(plan) if cell in by_cell):
        texts = Texts(folder.runs)
        log = cell_log(plan, cell, by_cell[cell], texts)
        path = out / f"{cell.set}_{cell.arm}_{cell.repeat}.eval"
        write_eval_log(log, path, format="eval")
        written.append(WrittenLog(path, cell, len(by_cell[cell]), texts.missing))
    return written


class Texts:
    """What the journals of a bench hold of its tasks, each journal indexed once."""

    def __init__(self, runs: Path) -> None:
        self._runs = runs
        self._indexes: dict[str, EventIndex | None] = {}
        self.models: list[str] = []
        """Model of the solver, or of the first role, of each run."""
        self.times: list[float] = []
        """Unix times when runs began and tasks ended."""
        self.missing = 0

    def journal(self, run_id: str) -> Path:
        """Where the journal of a run lies."""
        return self._runs / run_id / FILE_NAME

    def of(self, item: Item) -> tuple[Task | None, Result | None]:
        """The task as asked and its last Result, as far as they are recorded."""
        index = self._index(item.run_id)
        asked = next(index.of(item.task, "task_started"), None) if index else None
        ended = list(index.of(item.task, "task_finished"))[-1:] if index else []
        self.missing += asked is None
        self.times += [float(event.data["time"]) for event in ended if "time" in event.data]
        task = Task.model_validate(asked.data["asked"]) if asked else None
        return task, Result.model_validate(ended[0].data["result"]) if ended else None

    def _index(self, run_id: str) -> EventIndex | None:
        if run_id not in self._indexes:
            path = self.journal(run_id)
            index = self._indexes[run_id] = EventIndex(path) if run_id and path.is_file() else None
            started = next(index.of("", "run_started"), None) if index else None
            if started is not None:
                models = started.data["models"]
                self.models.append(str(models.get("solver") or next(iter(models.values()), "")))
                self.times += [float(started.data["time"])] if "time" in started.data else []
        return self._indexes[run_id]


def cell_log(plan: BenchPlan, cell: Cell, items: Sequence[Item], texts: Texts) -> EvalLog:
    """The log of one cell."""
    from inspect_ai.log import (
        EvalConfig,
        EvalDataset,
        EvalLog,
        EvalMetric,
        EvalPlan,
        EvalResults,
        EvalScore,
        EvalSpec,
        EvalStats,
    )

    samples = [sample_of(item, texts) for item in items]
    model = next((name for name in texts.models if name), "unknown")
    for sample in samples:
        sample.model_usage = {model: usage} if (usage := sample.output.usage) else {}
        sample.output.model = model
    arm = next(arm for arm in plan.arms if arm.name == cell.arm)
    calls = [call for item in items for call in item.calls]
    figures, graded = summary(items), [item for item in items if item.graded]
    value = figures.accuracy.value if graded else 0.0
    metrics = {"accuracy": EvalMetric(name="accuracy", value=value)} if graded else {}
    score = EvalScore(
        name="grade",
        scorer="grade",
        scored_samples=len(graded),
        unscored_samples=len(items) - len(graded),
        metrics=metrics,
    )
    ended = sum(item.status == "ok" for item in items)
    name = _identity(plan.name, cell)
    times = sorted(texts.times) or [0.0]
    return EvalLog(
        status="success",
        eval=EvalSpec(
            eval_id=name,
            run_id=name,
            task_id=name,
            created=_moment(times[0]),
            task=f"{cell.set}_{cell.arm}" + (f"_{cell.repeat}" if plan.repeats > 1 else ""),
            dataset=EvalDataset(name=cell.set, samples=len(items), sample_ids=[item.task for item in items]),
            solver=str(arm.recipe.get("strategy", arm.name)),
            solver_args={"knobs": arm.recipe.get("knobs", {})},
            model=model,
            config=EvalConfig(),
            packages={"phronesis": __version__},
            metadata={"bench": plan.name, "cell": cell.key, "recipe": arm.recipe, "bank": arm.bank},
        ),
        plan=EvalPlan(),
        results=EvalResults(total_samples=len(items), completed_samples=ended, scores=[score]),
        stats=EvalStats(
            started_at=_moment(times[0]),
            completed_at=_moment(times[-1]),
            model_usage={model: usage_of(calls)},
            role_usage=_by_role(calls),
        ),
        samples=samples,
    )


def sample_of(item: Item, texts: Texts) -> EvalSample:
    """The sample of one item."""
    from inspect_ai._util.error import EvalError
    from inspect_ai.log import EvalSample
    from inspect_ai.model import ChatMessageAssistant, ChatMessageSystem, ChatMessageUser

    task, result = texts.of(item)
    kinds = {"system": ChatMessageSystem, "user": ChatMessageUser, "assistant": ChatMessageAssistant}
    asked: list[Any] = [kinds[message.role](content=message.content) for message in task.messages] if task else []
    if task is not None and task.context:
        asked[-1] = ChatMessageUser(content=task.question)
    output = output_of(item, result)
    error = None
    if item.status == "failed":
        said = "; ".join(f"{failure.where}: {failure.error}: {failure.message}" for failure in item.failures)
        error = EvalError(message=said or "the task failed", traceback="", traceback_ansi="")
    return EvalSample(
        id=item.task,
        epoch=1,
        input=asked or "(the journal of this task is gone)",
        target=item.gold,
        messages=[*asked, *(choice.message for choice in output.choices[:1])],
        output=output,
        scores=scores_of(item),
        metadata=_metadata(item, texts.journal(item.run_id)),
        role_usage=_by_role(item.calls),
        total_time=item.seconds,
        working_time=item.seconds,
        uuid=_identity(item.run_id, item.task),
        error=error,
    )


def scores_of(item: Item) -> dict[str, Score] | None:
    """``grade``: C or I, with the grader's share and figures beside it; None for an ungraded item."""
    from inspect_ai.scorer import Score

    if not item.graded:
        return None
    figures = {"score": item.score, "parsed": item.parsed, **item.figures}
    return {"grade": Score(value="C" if item.correct else "I", answer=item.answer, metadata=figures)}


def output_of(item: Item, result: Result | None) -> ModelOutput:
    """A choice per attempt, the chosen one first."""
    from inspect_ai.model import ModelOutput

    attempts = list(result.candidates) if result else []
    chosen = next((attempt for attempt in attempts if result and attempt.text == result.answer_text), None)
    if chosen is not None:
        attempts.remove(chosen)
        attempts.insert(0, chosen)
    return ModelOutput(choices=[_choice(attempt) for attempt in attempts], usage=usage_of(item.calls))


def _choice(attempt: Candidate) -> ChatCompletionChoice:
    from inspect_ai.model import ChatCompletionChoice, ChatMessageAssistant

    about = {"attempt": attempt.id, "answer": attempt.answer, "status": attempt.status, "round": attempt.round}
    message = ChatMessageAssistant(content=attempt.text, metadata=about)
    return ChatCompletionChoice(message=message, stop_reason="max_tokens" if attempt.cut_off else "stop")


def usage_of(calls: Sequence[CallCost]) -> ModelUsage:
    """Tokens of exchanges; inspect_ai counts prompt tokens from the server's cache apart."""
    from inspect_ai.model import ModelUsage

    prompt, cached = sum(call.prompt_tokens for call in calls), sum(call.cached_tokens for call in calls)
    generated = sum(call.completion_tokens for call in calls)
    return ModelUsage(
        input_tokens=prompt - cached,
        input_tokens_cache_read=cached,
        output_tokens=generated,
        total_tokens=prompt + generated,
    )


def _by_role(calls: Sequence[CallCost]) -> dict[str, ModelUsage]:
    roles = dict.fromkeys(call.role for call in calls)
    return {role: usage_of([call for call in calls if call.role == role]) for role in roles}


def _metadata(item: Item, journal: Path) -> dict[str, Any]:
    kept = item.model_dump(mode="json", include=_KEPT)
    counted = {"model_calls": item.model_calls, "paid_calls": item.paid_calls, "B_seq": item.sequential_tokens}
    return {**kept, **counted, "journal": str(journal)}


_KEPT = {
    "status", "group", "cluster", "stop", "depth", "attempts", "recalled", "written", "degraded", "failures", "run_id",
}  # fmt: skip


def _identity(*parts: object) -> str:
    return blake2b("|".join(map(str, parts)).encode(), digest_size=11).hexdigest()


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
