"""Embedders and fingerprints."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from phronesis.core.errors import ConceptStoreError, ConfigurationError, ModelMissing
from phronesis.core.ports import Vectors
from phronesis.core.settings import Settings
from phronesis.index.embedders import HashEmbedder, SentenceTransformerEmbedder, embed, open_embedder
from phronesis.index.fingerprint import Fingerprint


class Broken(HashEmbedder):
    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        return np.full((len(texts), self.dimension), np.nan, dtype=np.float32)


class Turned(HashEmbedder):
    """The same name, other vectors."""

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        return np.roll(super().embed_documents(texts), 1, axis=1)


def test_hash_embedder_gives_unit_vectors_and_likes_shared_words() -> None:
    rows = HashEmbedder().embed_documents(
        ["two pumps fill a tank", "a tank filled by pumps", "angles of a triangle", ""]
    )
    assert np.allclose(np.linalg.norm(rows, axis=1), 1.0, atol=1e-5)
    assert rows[0] @ rows[1] > 0.4 > rows[0] @ rows[2]


def test_hash_embedder_is_the_same_in_every_process() -> None:
    script = (
        "from phronesis.index.embedders import HashEmbedder as H; print(H().embed_queries(['rates add']).sum(), "
        "H().embed_queries(['rates add']).argmax())"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", script], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1


@pytest.mark.parametrize(("name", "kind"), [("none", None), ("hash", HashEmbedder), ("not-pulled", None)])
def test_settings_name_the_embedder(settings: Settings, name: str, kind: type | None) -> None:
    found = open_embedder(settings.model_copy(update={"embedder": name}))
    assert found is None if kind is None else isinstance(found, kind)


def test_a_pulled_catalogue_model_is_found_without_loading_it(settings: Settings) -> None:
    folder = settings.models / "tiny"
    folder.mkdir(parents=True)
    (folder / "modules.json").write_text("[]")
    (folder / "model.safetensors").write_bytes(b"weights")
    found = open_embedder(settings.model_copy(update={"embedder": "tiny"}))
    assert isinstance(found, SentenceTransformerEmbedder)
    assert found.id.startswith("tiny@")
    (folder / "model.safetensors").write_bytes(b"weighty")
    assert SentenceTransformerEmbedder(folder).id != found.id


def test_a_folder_that_is_no_model_is_refused(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no such folder"):
        open_embedder(settings.model_copy(update={"embedder": str(tmp_path / "nowhere")}))
    with pytest.raises(ModelMissing, match=r"modules\.json"):
        open_embedder(settings.model_copy(update={"embedder": str(tmp_path)}))


def test_vectors_without_direction_are_refused() -> None:
    with pytest.raises(ConceptStoreError, match="without direction"):
        embed(Broken(), ["x"])


def test_fingerprints_tell_models_of_one_name_apart() -> None:
    one, again, other = Fingerprint.of(HashEmbedder()), Fingerprint.of(HashEmbedder()), Fingerprint.of(Turned())
    assert one == again
    assert one.key == again.key
    assert one.matches(again)
    assert not one.matches(other)
    assert one.key != other.key
    assert "hash-256@1 (256" in one.short


def test_a_last_digit_does_not_make_a_stranger() -> None:
    one = Fingerprint.of(HashEmbedder())
    probe = (one.document_probe[0] + 1, *one.document_probe[1:])
    assert one.matches(one.model_copy(update={"document_probe": probe}))
    assert not one.matches(one.model_copy(update={"dimension": 384}))


def test_a_fingerprint_survives_json() -> None:
    one = Fingerprint.of(HashEmbedder())
    assert Fingerprint.model_validate_json(one.model_dump_json()) == one
