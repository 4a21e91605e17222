"""Recipes: a TOML file is the complete run. Loading names file, line and nearest key for whatever is wrong."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from difflib import get_close_matches
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from phronesis.agents.scorers.table import choose_scorer
from phronesis.core.asking import Asker
from phronesis.core.budget import Budget
from phronesis.core.errors import ConfigurationError, RecipeError
from phronesis.core.journal import Event
from phronesis.core.loop import run_sync
from phronesis.core.result import Result
from phronesis.core.settings import Settings, addresses
from phronesis.core.task import AnswerFormat, Task, as_task
from phronesis.graphs.memory_section import MemorySection
from phronesis.graphs.registry import around, find
from phronesis.graphs.retrieval_section import RetrievalSection
from phronesis.graphs.strategy import Knobs, Strategy
from phronesis.graphs.tools_section import ToolsSection
from phronesis.graphs.verify_section import VerifySection
from phronesis.tools.extraction import Extraction

SCHEMA = "phronesis/recipe/1"
ROLES = (
    "solver",
    "programmer",
    "reviewer",
    "refiner",
    "judge",
    "verifier",
    "reward",
    "abstractor",
    "selector",
    "curator",
    *(f"juror{number}" for number in range(1, 6)),
    *(f"debater{number}" for number in range(1, 5)),
)
"""Roles that ``[models.<role>]`` may name in any recipe, beside those that its own strategy and scorers call."""
_VARIABLE = re.compile(r"\$\{(\w+)\}")


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SamplingSection(_Section):
    """What a recipe may set over a strategy's sampling of one role."""

    temperature: float | None = Field(default=None, ge=0)
    top_p: float | None = Field(default=None, gt=0, le=1)
    top_k: int | None = Field(default=None, ge=1)
    min_p: float | None = Field(default=None, ge=0, le=1)
    max_tokens: int | None = Field(default=None, ge=1)


class ModelSection(_Section):
    """Which model a role calls. Everything is optional: settings and the embedded engine fill in."""

    model: str | None = None
    """Name at the endpoint, or in the catalogue for the embedded engine."""
    base_url: str | None = None
    """OpenAI-compatible address with /v1."""
    base_urls: tuple[str, ...] | None = Field(default=None, min_length=1)
    """Addresses of several servers of the same model, instead of ``base_url``; each request goes to the least loaded."""
    api_key: str | None = None
    """Best written as ${SOME_VARIABLE}; it never reaches a journal."""
    sampling: SamplingSection = SamplingSection()
    thinking: bool | None = None
    """Whether a reasoning model thinks before it answers; unset = as its chat template has it."""
    thinking_tokens: int | None = Field(default=None, ge=1)
    """Most tokens of thinking, out of max_tokens; needs a server that continues an assistant's message."""

    @field_validator("base_urls")
    @classmethod
    def _either(cls, value: tuple[str, ...] | None, info: ValidationInfo) -> tuple[str, ...] | None:
        if value is not None and info.data.get("base_url") is not None:
            raise ValueError("give base_url or base_urls, not both")
        return value

    @property
    def sampling_values(self) -> dict[str, Any]:
        """What the section sets of a role's sampling."""
        thinking = {"thinking": self.thinking, "thinking_tokens": self.thinking_tokens}
        values = {**self.sampling.model_dump(), **thinking}
        return {name: value for name, value in values.items() if value is not None}

    @property
    def addresses(self) -> tuple[str, ...] | None:
        """The addresses under either name; None = the settings'."""
        return self.base_urls or (addresses(self.base_url) if self.base_url else None)


class AnswerSection(_Section):
    """How answers are read."""

    format: AnswerFormat = "text"
    """Format of tasks that do not name their own."""
    extraction: Extraction = "lenient"
    """``strict``: only answers that are marked as such count."""


class RecipeFile(_Section):
    """A recipe as written, validated."""

    schema_: Literal["phronesis/recipe/1"] = Field(alias="schema")
    """Format version of the file."""
    name: str
    strategy: str
    description: str = ""
    seed: int = 0
    """Seed of every random choice of a run."""
    calibration: Literal["running", "frozen"] = "running"
    """``running``: reward statistics of this run's first chains are added when it ends; ``frozen``: they are not."""
    knobs: dict[str, Any] = {}
    """The strategy's knobs; see ``phronesis recipes show``."""
    models: dict[str, ModelSection] = {}
    """By role; ``default`` serves every role without an entry."""
    memory: MemorySection = MemorySection()
    retrieval: RetrievalSection = RetrievalSection()
    tools: ToolsSection = ToolsSection()
    verify: VerifySection = VerifySection()
    budget: Budget = Budget()
    """Limits of one task."""
    answer: AnswerSection = AnswerSection()


class Recipe:
    """A complete, validated run. ``Recipe.load("magicore").run("How many ...?")`` is the whole API for most uses."""

    def __init__(self, file: RecipeFile, *, source: str = "<recipe>", text: str = "") -> None:
        self.file = file
        self.source = source
        self.strategy: Strategy[Any] = find(file.strategy)
        try:
            folder = Path(source).parent if Path(source).is_file() else None
            self.knobs: Knobs = self.strategy.knobs.model_validate(file.knobs, context={"folder": folder})
        except ValidationError as error:
            raise _explain(error, source, text, prefix=("knobs",), known=self.strategy.knobs.model_fields) from None
        self.strategy = around(self.strategy, file.verify)
        known = {"default", *ROLES, *self.strategy.needs(self.knobs), *choose_scorer(file.memory.verifier).roles}
        for role in sorted(set(file.models) - known):
            near = get_close_matches(role, known, n=1, cutoff=0.4)
            hint = f"did you mean {near[0]!r}?" if near else f"known roles: {', '.join(sorted(known))}"
            raise RecipeError(f"{source}: no role is called {role!r} ([models.{role}])", mend=hint)

    @property
    def name(self) -> str:
        return self.file.name

    @classmethod
    def load(cls, name: str | Path, *, overrides: Mapping[str, Any] | None = None) -> Recipe:
        """A shipped recipe by name, or any file by path; ``overrides`` are dotted keys, ``{"knobs.k": 8}``.

        Raises RecipeError naming file, line, key and the nearest known one."""
        source, text = _read(str(name))
        return cls.parse(text, source=source, overrides=overrides)

    @classmethod
    def parse(cls, text: str, *, source: str = "<recipe>", overrides: Mapping[str, Any] | None = None) -> Recipe:
        """A recipe from TOML text."""
        try:
            data = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise RecipeError(f"{source} is not TOML: {error}", mend="correct the line it names") from None
        data = _expand(data, source)
        for key, value in (overrides or {}).items():
            put_key(data, key, value)
        return cls.from_data(data, source=source, text=text)

    @classmethod
    def from_data(cls, data: Mapping[str, Any], *, source: str = "<recipe>", text: str = "") -> Recipe:
        """A recipe from plain values, as a journal holds them."""
        try:
            file = RecipeFile.model_validate(data)
        except ValidationError as error:
            raise _explain(error, source, text) from None
        return cls(file, source=source, text=text)

    def to_data(self) -> dict[str, Any]:
        """Plain values without secrets; ``from_data`` reads them back."""
        data = self.file.model_dump(mode="json", by_alias=True)
        data["knobs"] = self.knobs.model_dump(mode="json")
        for section in data["models"].values():
            section.pop("api_key")
        return data

    def run(self, task: Task | str, *, settings: Settings | None = None, asker: Asker | None = None) -> Result:
        """Runs one task to its Result. Works anywhere, inside a running event loop too.

        ``asker`` answers where a person has to; without one, or when it answers None, AwaitingAnswer is raised, whose
        ``mend`` is the command that goes on with the run."""
        return run_sync(self.arun(task, settings=settings, asker=asker))

    async def arun(self, task: Task | str, *, settings: Settings | None = None, asker: Asker | None = None) -> Result:
        """Runs one task on the caller's loop. Raises ConfigurationError, SetupError and AwaitingAnswer; a failed run is a
        Result."""
        from phronesis.graphs.run import Run

        async with await Run.start(self, settings=settings, asker=asker) as run:
            return await run.solve(as_task(task))

    async def astream(
        self, task: Task | str, *, settings: Settings | None = None, asker: Asker | None = None
    ) -> AsyncGenerator[Event, None]:
        """The journal's events as they happen; the last but one, ``task_finished``, holds the Result.

        Closing the generator (``aclose``) cancels the run, which can be resumed."""
        from phronesis.graphs.streaming import stream

        async with aclosing(stream(self, as_task(task), settings=settings, asker=asker)) as events:
            async for event in events:
                yield event


def shipped() -> list[str]:
    """Names of the recipes that come with the package, sorted."""
    folder = resources.files("phronesis.recipes")
    return sorted(item.name.removesuffix(".toml") for item in folder.iterdir() if item.name.endswith(".toml"))


def summaries() -> list[dict[str, str]]:
    """Name, strategy and description of each shipped recipe, read without loading the strategies."""
    found = [tomllib.loads(_read(name)[1]) for name in shipped()]
    return [{key: str(data.get(key, "")) for key in ("name", "strategy", "description")} for data in found]


def _read(name: str) -> tuple[str, str]:
    path = Path(name)
    if name in shipped():
        file = resources.files("phronesis.recipes").joinpath(f"{name}.toml")
        return f"recipe {name}", file.read_text(encoding="utf-8")
    if path.suffix == ".toml" or path.is_file():
        try:
            return str(path), path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RecipeError(f"cannot read the recipe {name!r}: {error}", mend="check the path") from None
    near = get_close_matches(name, shipped(), n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}?" if near else f"shipped: {', '.join(shipped())}; or give a path to a .toml file"
    raise RecipeError(f"unknown recipe {name!r}", mend=hint)


def _expand(value: Any, source: str) -> Any:
    if isinstance(value, str):

        def put(match: re.Match[str]) -> str:
            if match[1] not in os.environ:
                raise RecipeError(f"{source}: ${{{match[1]}}} is not set", mend=f"export {match[1]}=...")
            return os.environ[match[1]]

        return _VARIABLE.sub(put, value)
    if isinstance(value, dict):
        return {key: _expand(item, source) for key, item in value.items()}
    if isinstance(value, list):
        return [_expand(item, source) for item in value]
    return value


def put_key(data: dict[str, Any], key: str, value: Any) -> None:
    """Sets a dotted key; sections on the way are made. Raises ConfigurationError where one is no section."""
    *path, last = key.split(".")
    for part in path:
        data = data.setdefault(part, {})
        if not isinstance(data, dict):
            raise ConfigurationError(f"cannot set {key!r}: {part!r} is not a section")
    data[last] = value


def _line_of(text: str, path: tuple[str, ...]) -> int | None:
    """The line a dotted key stands on, as far as a reading of the text can tell."""
    section: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), start=1):
        heading = re.match(r"\s*\[+\s*([^\]]+?)\s*\]+", line)
        if heading:
            section = tuple(part.strip().strip("\"'") for part in heading[1].split("."))
            if section == path:
                return number
            continue
        entry = re.match(r"\s*([\w.\"'-]+)\s*=", line)
        if entry and (*section, *entry[1].replace('"', "").split(".")) == path:
            return number
    return None


def _explain(
    error: ValidationError,
    source: str,
    text: str,
    *,
    prefix: tuple[str, ...] = (),
    known: Mapping[str, Any] | None = None,
) -> RecipeError:
    first = error.errors()[0]
    path = (*prefix, *(str(part) for part in first["loc"]))
    key = ".".join(path)
    line = _line_of(text, path)
    where = f"{source}, line {line}" if line else source
    if first["type"] == "extra_forbidden":
        names = list(known if known is not None else _fields_at(path[:-1]))
        near = get_close_matches(path[-1], names, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(names)}"
        return RecipeError(f"{where}: unknown key {key!r}", mend=hint)
    if first["type"] == "missing":
        return RecipeError(f"{where}: the key {key!r} is missing", mend=f"add {path[-1]} = ...")
    said = first["msg"].removeprefix("Value error, ")
    return RecipeError(f"{where}: {key} = {first['input']!r}: {said}", mend=f"correct {key}")


def _fields_at(path: tuple[str, ...]) -> list[str]:
    if not path:
        return [field.alias or name for name, field in RecipeFile.model_fields.items()]
    sections: dict[str, type[BaseModel]] = {
        "memory": MemorySection,
        "retrieval": RetrievalSection,
        "tools": ToolsSection,
        "verify": VerifySection,
        "answer": AnswerSection,
        "budget": Budget,
    }
    if path[0] == "models":
        return list((SamplingSection if path[-1] == "sampling" else ModelSection).model_fields)
    return list(sections[path[0]].model_fields) if path[0] in sections else []
