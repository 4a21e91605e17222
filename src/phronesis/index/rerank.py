"""Reranking by a cross-encoder: a model that reads query and passage together."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from phronesis.core.errors import ModelMissing, RetrievalError, SetupError
from phronesis.core.settings import Settings


class Reranker(Protocol):
    """Reads query and passages together."""

    @property
    def id(self) -> str: ...

    def scores(self, query: str, passages: Sequence[str]) -> list[float]:
        """How well each passage answers the query; higher is better, comparable for one query only. Raises RetrievalError."""
        ...


class CrossEncoder:
    """A cross-encoder in sentence-transformers layout, on the CPU, loaded with the first pair; safe in threads."""

    def __init__(self, folder: Path) -> None:
        self.id = folder.name
        self._folder = folder
        self._lock = threading.Lock()
        # The library is untyped for us (lazy import), hence Any.
        self._loaded: Any = None

    def scores(self, query: str, passages: Sequence[str]) -> list[float]:
        try:
            with self._lock:
                rows = self._model().predict([(query, passage) for passage in passages], show_progress_bar=False)
            found = np.asarray(rows, dtype=np.float64)
        except Exception as error:
            # The boundary to model libraries, which raise anything.
            raise RetrievalError(f"reranker {self.id!r} failed: {type(error).__name__}: {error}") from error
        if found.shape != (len(passages),) or not np.isfinite(found).all():
            raise RetrievalError(f"reranker {self.id!r} returned shape {found.shape} for {len(passages)} passages")
        return [float(score) for score in found]

    def _model(self) -> Any:
        if self._loaded is None:
            for name in ("sentence_transformers", "transformers"):
                logging.getLogger(name).setLevel(logging.ERROR)
            import sentence_transformers
            from transformers.utils import logging as hub_logging

            hub_logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # untyped there
            self._loaded = sentence_transformers.CrossEncoder(str(self._folder), device="cpu", local_files_only=True)
        return self._loaded


def open_reranker(name: str, settings: Settings) -> Reranker:
    """The cross-encoder in a folder, or of that name in the models folder. Raises ModelMissing or SetupError."""
    folder = Path(name).expanduser() if "/" in name or "\\" in name else settings.models / name
    if not (folder / "config.json").is_file():
        raise ModelMissing(
            f"{str(folder)!r} is no cross-encoder: no config.json", mend='put one there, or rerank="none"', name=name
        )
    if find_spec("sentence_transformers") is None:
        raise SetupError(f"reranker {name!r} needs sentence-transformers", mend="pip install 'phronesis[local]'")
    return CrossEncoder(folder)
