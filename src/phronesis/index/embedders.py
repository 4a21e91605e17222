"""Embedders: text to unit vectors, and which one the settings mean."""

from __future__ import annotations

import hashlib
import logging
import math
import re
import threading
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from phronesis.core.errors import ConceptStoreError, ConfigurationError, ModelMissing, PhronesisError, SetupError
from phronesis.core.ports import Embedder, Vectors
from phronesis.core.settings import Settings

_WORD = re.compile(r"\w+")
_WEIGHTS_READ = 1 << 20
"""Bytes of each weight file that count for a revision; the fingerprint's probe vectors cover the rest."""


class HashEmbedder:
    """Hashed words and character trigrams: for tests, no model needed. The same text gives the same vector anywhere."""

    id = "hash-256@1"
    dimension = 256

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        rows = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            for word in _WORD.findall(text.casefold()) or [text]:
                self._add(row, word, 1.0)
                padded = f"<{word}>"
                for start in range(len(padded) - 2):
                    self._add(row, padded[start : start + 3], 0.5)
            length = math.sqrt(float(row @ row))
            if length:
                row /= length
            else:
                row[0] = 1.0
        return rows

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        return self.embed_documents(texts)

    def _add(self, row: Vectors, token: str, weight: float) -> None:
        number = int.from_bytes(hashlib.blake2b(token.encode(), digest_size=8).digest(), "big")
        row[number % self.dimension] += weight if number >> 63 else -weight


class SentenceTransformerEmbedder:
    """A model folder in sentence-transformers layout, on the CPU, loaded with the first text; safe in threads."""

    def __init__(self, folder: Path) -> None:
        """Raises ModelMissing when the folder holds no such model."""
        if not (folder / "modules.json").is_file():
            raise ModelMissing(
                f"{str(folder)!r} is not a model in sentence-transformers layout: no modules.json",
                mend="phronesis models pull all-minilm-l6-v2",
            )
        self.id = f"{folder.name}@{_revision(folder)}"
        self._folder = folder
        self._lock = threading.Lock()
        # The library is untyped for us (lazy import), hence Any.
        self._loaded: Any = None

    @property
    def dimension(self) -> int:
        with self._lock:
            return int(self._model().get_embedding_dimension())

    @property
    def prompts(self) -> tuple[str, ...]:
        """What the model puts before queries and documents, as ``name=text``."""
        with self._lock:
            return tuple(f"{name}={text}" for name, text in sorted(dict(self._model().prompts or {}).items()) if text)

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        return self._embed("encode_document", texts)

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        return self._embed("encode_query", texts)

    def _embed(self, method: str, texts: Sequence[str]) -> Vectors:
        if not texts:
            return np.zeros((0, self.dimension), dtype=np.float32)
        # Fast tokenizers change their own state while encoding: one text batch at a time.
        with self._lock:
            encode = getattr(self._model(), method)
            rows = encode(list(texts), normalize_embeddings=True, convert_to_numpy=True, show_progress_bar=False)
        return np.ascontiguousarray(rows, dtype=np.float32)

    def _model(self) -> Any:
        if self._loaded is None:
            for name in ("sentence_transformers", "transformers"):
                logging.getLogger(name).setLevel(logging.ERROR)
            from sentence_transformers import SentenceTransformer
            from transformers.utils import logging as hub_logging

            hub_logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # untyped there
            self._loaded = SentenceTransformer(str(self._folder), device="cpu", local_files_only=True)
        return self._loaded


def _revision(folder: Path) -> str:
    """12 hex digits over the configuration files and the size and first MiB of each weight file."""
    digest = hashlib.blake2b(digest_size=6)
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        weights = path.suffix in (".safetensors", ".bin")
        if not path.is_file() or not (weights or name.endswith(("config.json", "modules.json"))):
            continue
        with path.open("rb") as file:
            digest.update(f"{name} {path.stat().st_size}\n".encode() + file.read(_WEIGHTS_READ))
    return digest.hexdigest()


def open_embedder(settings: Settings) -> Embedder | None:
    """The embedder the settings name; None = there is none here, recall is lexical.

    ``none``, ``hash``, a folder, or a catalogue name: None where that one is not pulled or sentence-transformers is not
    installed. A folder that was asked for by its path is not passed over: ConfigurationError, ModelMissing or SetupError."""
    if settings.embedder == "none":
        return None
    if settings.embedder == "hash":
        return HashEmbedder()
    installed = find_spec("sentence_transformers") is not None
    if "/" in settings.embedder or "\\" in settings.embedder:
        folder = Path(settings.embedder).expanduser()
        if not folder.is_dir():
            raise ConfigurationError(
                f"setting embedder = {settings.embedder!r}: no such folder",
                mend="set PHRONESIS_EMBEDDER to a catalogue name, a model folder, or none",
            )
        if not installed:
            raise SetupError(
                f"embedder {settings.embedder!r} needs sentence-transformers", mend="pip install 'phronesis[local]'"
            )
        return SentenceTransformerEmbedder(folder)
    folder = settings.models / settings.embedder
    return SentenceTransformerEmbedder(folder) if installed and (folder / "modules.json").is_file() else None


def embed(embedder: Embedder, texts: Sequence[str], *, queries: bool = False) -> Vectors:
    """The embedder's vectors, checked and brought to unit length. Raises ConceptStoreError when they are no such thing."""
    try:
        rows = np.asarray((embedder.embed_queries if queries else embedder.embed_documents)(texts), dtype=np.float32)
    except PhronesisError:
        raise
    except Exception as error:
        # The boundary to model libraries, which raise anything.
        raise ConceptStoreError(f"embedder {embedder.id!r} failed: {type(error).__name__}: {error}") from error
    if rows.shape != (len(texts), embedder.dimension):
        raise ConceptStoreError(
            f"embedder {embedder.id!r} returned shape {rows.shape} for {len(texts)} texts of dimension {embedder.dimension}"
        )
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    if not np.isfinite(lengths).all() or not (lengths > 0).all():
        raise ConceptStoreError(f"embedder {embedder.id!r} returned a vector without direction (zero, infinite or NaN)")
    return np.ascontiguousarray(rows / lengths, dtype=np.float32)
