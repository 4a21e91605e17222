"""Loading labelled attempts: known sets (ProcessBench, LLMBar) of the data folder, or files of one's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from phronesis.bench.given_attempts import GivenAttempt, GivenQuestion, Shape, grouped, label, own_shape, task_of
from phronesis.bench.sets.choosing import choose
from phronesis.bench.sets.files import read_rows
from phronesis.bench.sets.places import known_rows
from phronesis.bench.sets.request import SetRequest
from phronesis.bench.sets.row import Row, nearest, shown
from phronesis.core.errors import ConfigurationError
from phronesis.core.seeds import generator
from phronesis.core.settings import Settings
from phronesis.core.task import AnswerFormat


def processbench(row: Row, format: AnswerFormat) -> GivenQuestion:
    """ProcessBench (arXiv 2412.06559): a solution in paragraphs; right = its final answer is. Answers of its GSM8K part are
    numbers, the others LaTeX."""
    fields = row.fields
    kind: AnswerFormat = "number" if fields.get("subset") == "gsm8k" else "latex"
    task = task_of(row, fields.get("problem"), name=fields.get("id"), format=kind)
    steps = fields.get("steps")
    if not isinstance(steps, list) or not any(str(step).strip() for step in steps):
        raise _row_error(row, "steps", steps)
    text = "\n\n".join(str(step).strip() for step in steps if str(step).strip())
    return GivenQuestion(task, (GivenAttempt(text, label(fields.get("final_answer_correct"), row.where)),))


def llmbar(row: Row, format: AnswerFormat) -> GivenQuestion:
    """LLMBar (arXiv 2310.07641): two outputs for an instruction; right = the one that ``label`` (1 or 2) says follows it. An
    output is its own answer, whatever stands in its last line."""
    fields = row.fields
    task = task_of(row, fields.get("instruction"), name=fields.get("id"), format="text")
    better = str(fields.get("label"))
    if better not in ("1", "2"):
        raise _row_error(row, "label", fields.get("label"))
    outputs = [fields.get(f"output_{number}") for number in (1, 2)]
    for number, output in enumerate(outputs, start=1):
        if not isinstance(output, str) or not output.strip():
            raise _row_error(row, f"output_{number}", output)
    made = (
        GivenAttempt(str(output).strip(), better == str(number), whole=True)
        for number, output in enumerate(outputs, start=1)
    )
    return GivenQuestion(task, tuple(made))


def _row_error(row: Row, name: str, value: Any) -> ConfigurationError:
    return ConfigurationError(f"{row.where}: {name} = {str(value)[:60]!r}", mend="take another copy of the set")


LABELLED: Mapping[str, Shape] = {"processbench": processbench, "llmbar": llmbar}
"""Known sets of labelled attempts, by name."""
_COLUMNS: Mapping[tuple[str, ...], Shape] = {
    ("problem", "steps", "final_answer_correct"): processbench,
    ("instruction", "output_1", "output_2", "label"): llmbar,
}
"""Columns by which a copy of theirs in a file is known."""


class GivenRequest(BaseModel):
    """Labelled attempts as asked for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    spec: str
    """A known set's name, or a file or folder."""
    where: dict[str, tuple[str, ...]] = {}
    """Rows whose field has one of these values, as text; a value that no row has stands for those that begin with it."""
    limit: int | None = Field(default=None, ge=1)
    """The first so many questions, after ``where`` and ``shuffle``."""
    shuffle: int | None = None
    """Seed of a shuffle of the questions; None = the order of the file."""
    format: AnswerFormat = "text"
    """Answer format of rows that do not name their own."""


def load_given(request: GivenRequest, settings: Settings) -> list[GivenQuestion]:
    """The questions of a request, in order. Raises ConfigurationError that names file and row."""
    shape, rows = _found(request.spec, settings)
    where = {name: _values(rows, name, values) for name, values in request.where.items()}
    chosen = choose(rows, SetRequest(spec=request.spec, where=where))
    questions = grouped((shape(row, request.format), row.where) for row in chosen)
    if request.shuffle is not None:
        generator(request.shuffle, "shuffle").shuffle(questions)
    return questions[: request.limit]


def _found(spec: str, settings: Settings) -> tuple[Shape, Sequence[Row]]:
    path = Path(spec)
    if spec in LABELLED and not path.exists():
        return LABELLED[spec], known_rows(spec, settings)[0]
    if not path.exists():
        like_a_path = len(path.parts) > 1 or path.suffix
        hint = "check the path" if like_a_path else nearest(spec, list(LABELLED))
        raise ConfigurationError(f"there are no labelled attempts {spec!r}: no known set, no file or folder", mend=hint)
    rows = read_rows(path)
    fits = (shape for columns, shape in _COLUMNS.items() if all(name in rows[0].fields for name in columns))
    return next(fits, own_shape), rows


def _values(rows: Sequence[Row], name: str, values: Sequence[str]) -> tuple[str, ...]:
    """The values that rows have; for one that none has, all that begin with it."""
    there = sorted({shown(row.fields.get(name)) for row in rows})
    found: list[str] = []
    for value in values:
        longer = [known for known in there if value and known.startswith(value)]
        found += [value] if value in there or not longer else longer
    return tuple(found)
