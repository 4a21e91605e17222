"""A bench's folder: the plan, its runs, its graded items. It is all that a resume, a comparison or a report reads.

``bench.json`` the plan and what the data were; ``runs.jsonl`` which run holds which tasks of which cell; ``items.jsonl`` a
line per graded task, the last one of a task counts; ``runs/`` the journals; ``lock`` held by the process that works on it.
"""

from __future__ import annotations

import fcntl
import os
import platform
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import orjson
from pydantic import ValidationError

from phronesis import __version__
from phronesis.bench.dataset import DataSet
from phronesis.bench.running.documents import changed_documents
from phronesis.bench.running.item import Item
from phronesis.bench.running.plan import SCHEMA, BenchPlan, Cell, cells, differences, merged
from phronesis.core.errors import ConfigurationError, RunLocked
from phronesis.core.lines import append_line, whole_lines, write_json

_PLAN, _RUNS, _ITEMS, _LOCK = "bench.json", "runs.jsonl", "items.jsonl", "lock"


class BenchFolder:
    """An open folder. As a context manager it is locked: two benches never write into one."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._handle = -1

    @property
    def runs(self) -> Path:
        """Where its run folders lie."""
        return self.path / "runs"

    def __enter__(self) -> BenchFolder:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._handle = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise ConfigurationError(
                f"cannot write the bench folder {str(self.path)!r}: {error.strerror}", mend="choose another --out"
            ) from None
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._handle)
            raise RunLocked(
                f"another bench works in {str(self.path)!r}", mend="wait for it, stop it, or choose another --out"
            ) from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._handle)

    def begin(
        self, plan: BenchPlan, sets: Mapping[str, DataSet], documents: Mapping[str, str] | None = None
    ) -> BenchPlan:
        """Takes a plan on and returns what holds now: the plan, or with an earlier one that it adds to, both.
        ``documents``: retriever to fingerprint.

        Raises ConfigurationError, and changes nothing, when an arm, a set, a set's data or documents are not what they
        were."""
        searched = dict(documents or {})
        known = {name: {"digest": found.digest, "examples": len(found.examples)} for name, found in sets.items()}
        if (self.path / _PLAN).is_file():
            stored, before = self.plan(), self._known()
            changed = differences(stored, plan)
            changed += [
                f"set {name}: its data are not what they were ({before[name]['examples']} examples, "
                f"{before[name]['digest']}; now {found['examples']}, {found['digest']})"
                for name, found in known.items()
                if name in before and before[name] != found
            ]
            searched_before = dict(self._data().get("documents", {}))
            changed += changed_documents(searched_before, searched)
            if changed:
                raise ConfigurationError(
                    f"{str(self.path)!r} holds another bench: {'; '.join(changed[:4])}",
                    mend="choose another --out, or give what it was begun with",
                )
            plan, known = merged(stored, plan), {**before, **known}
            searched = {**searched_before, **searched}
        elif any((self.path / name).exists() for name in (_ITEMS, _RUNS)):
            raise ConfigurationError(f"{str(self.path)!r} has results and no {_PLAN}", mend="choose another --out")
        list(cells(plan))  # raises for a plan that cannot be run
        versions = {"phronesis": __version__, "python": platform.python_version()}
        data = {"plan": plan.model_dump(mode="json", by_alias=True), "data": known, "versions": versions}
        data |= {"documents": searched} if searched else {}
        write_json(self.path / _PLAN, {"schema": SCHEMA, **data})
        return plan

    def _data(self) -> dict[str, Any]:
        path = self.path / _PLAN
        try:
            data: dict[str, Any] = orjson.loads(path.read_bytes())
        except OSError:
            raise ConfigurationError(
                f"{str(self.path)!r} is no bench folder", mend="give the --out of a bench"
            ) from None
        except orjson.JSONDecodeError as error:
            raise ConfigurationError(f"{str(path)!r} is not JSON: {error}", mend="restore the file") from None
        schema = data.get("schema") if isinstance(data, dict) else None
        if schema != SCHEMA:
            raise ConfigurationError(
                f"{str(path)!r} has schema {schema!r}; this version reads {SCHEMA!r}",
                mend="use the phronesis version that wrote it",
            )
        return data

    def _known(self) -> dict[str, Any]:
        """What is stored of each set's data."""
        known = self._data().get("data")
        if not isinstance(known, dict):
            raise ConfigurationError(
                f"{str(self.path / _PLAN)!r} does not say what the data were", mend="restore the file"
            )
        return known

    def plan(self) -> BenchPlan:
        """The stored plan. Raises ConfigurationError for a folder that is no bench's, and a plan that is none."""
        data = self._data()
        try:
            return BenchPlan.model_validate(data["plan"])
        except (KeyError, ValidationError) as error:
            said = error.errors()[0]["msg"] if isinstance(error, ValidationError) else f"{error} is missing"
            raise ConfigurationError(
                f"{str(self.path / _PLAN)!r} is no bench's plan: {said}", mend="restore the file"
            ) from None

    def note_run(self, cell: Cell, run_id: str, tasks: Iterable[str]) -> None:
        """Remembers which run the tasks of a cell are in."""
        append_line(self.path / _RUNS, orjson.dumps({"cell": cell.key, "run": run_id, "tasks": list(tasks)}))

    def runs_of(self, cell: Cell) -> dict[str, tuple[str, ...]]:
        """Run id -> its tasks, of one cell, in the order they were begun. Raises ConfigurationError for a line that names
        no run."""
        found: dict[str, tuple[str, ...]] = {}
        for number, line in enumerate(whole_lines(self.path / _RUNS), start=1):
            try:
                item = orjson.loads(line)
                name, run, tasks = item["cell"], str(item["run"]), tuple(item["tasks"])
            except (orjson.JSONDecodeError, KeyError, TypeError):
                raise ConfigurationError(
                    f"{self.path / _RUNS}:{number} names no run of a cell: {line[:80]!r}",
                    mend="the file was changed by hand; restore the line, or delete it, and its tasks are paid again",
                ) from None
            if name == cell.key:
                found[run] = tasks
        return found

    def check_run(self, cell: Cell, run_id: str) -> None:
        """Raises ConfigurationError for a run of a cell whose folder is gone."""
        if not (self.runs / run_id).is_dir():
            raise ConfigurationError(
                f"run {run_id} of {cell.key} is gone from {str(self.runs)!r}",
                mend=f"restore its folder, or delete its line in {str(self.path / _RUNS)!r}: its tasks are then paid again",
            )

    def add(self, item: Item) -> None:
        """Writes an item; it survives a kill. What a power cut loses is graded again from the journal."""
        append_line(self.path / _ITEMS, item.model_dump_json(exclude_defaults=True).encode(), sync=False)

    def items(self) -> Iterator[Item]:
        """Every item, the last one of each task in each cell, in the order of their first lines."""
        found: dict[tuple[str, str, int, str], Item] = {}
        for number, line in enumerate(whole_lines(self.path / _ITEMS), start=1):
            try:
                item = Item.model_validate_json(line)
            except ValidationError as error:
                raise ConfigurationError(
                    f"{self.path / _ITEMS}:{number} is no item: {error.errors()[0]['msg']}",
                    mend="the file was changed by hand; delete the line, and the bench grades it again",
                ) from None
            found[item.arm, item.set, item.repeat, item.task] = item
        yield from found.values()
