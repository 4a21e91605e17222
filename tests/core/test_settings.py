"""Settings: who wins, what a wrong one says, and that the key stays secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from phronesis.core.errors import ConfigurationError
from phronesis.core.settings import DEFAULT_EMBEDDER, load_settings


def project(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pyproject.toml").write_text(text, encoding="utf-8")
    return folder


def test_defaults(tmp_path: Path) -> None:
    found = load_settings({}, folder=tmp_path)
    assert found.base_url is None and found.api_key is None and found.model is None
    assert found.embedder == DEFAULT_EMBEDDER and found.send_seed is None and found.retries == 4
    assert found.home.name == "phronesis"


def test_variables_win_over_the_project_which_wins_over_the_defaults(tmp_path: Path) -> None:
    project(tmp_path, '[tool.phronesis]\nhome = "from-project"\nretries = 7\ntimeout = 5\nsend_seed = false\n')
    found = load_settings({"PHRONESIS_RETRIES": "1", "PHRONESIS_HOME": "/from/env"}, folder=tmp_path)
    assert (found.retries, found.timeout, found.send_seed, found.home) == (1, 5.0, False, Path("/from/env"))
    assert found.runs == Path("/from/env/runs") and found.memory.parent == found.models.parent == found.engines.parent


def test_openai_variables_stand_in_and_ours_win(tmp_path: Path) -> None:
    project(tmp_path, '[tool.phronesis]\nbase_url = "http://project/v1"\n')
    env = {"OPENAI_BASE_URL": "http://openai/v1", "OPENAI_API_KEY": "sk-openai"}
    found = load_settings(env, folder=tmp_path)
    assert found.base_url == "http://openai/v1"
    assert found.api_key is not None and found.api_key.get_secret_value() == "sk-openai"
    found = load_settings({**env, "PHRONESIS_BASE_URL": "http://ours/v1", "PHRONESIS_API_KEY": "k"}, folder=tmp_path)
    assert found.base_url == "http://ours/v1"
    assert found.api_key is not None and found.api_key.get_secret_value() == "k"


def test_an_empty_variable_is_not_set(tmp_path: Path) -> None:
    found = load_settings({"OPENAI_BASE_URL": "", "PHRONESIS_RETRIES": ""}, folder=tmp_path)
    assert found.base_url is None and found.retries == 4


def test_the_nearest_project_counts(tmp_path: Path) -> None:
    project(tmp_path, "[tool.phronesis]\nretries = 1\n")
    inner = project(tmp_path / "a", "[tool.phronesis]\nretries = 2\n")
    (inner / "b" / "c").mkdir(parents=True)
    assert load_settings({}, folder=inner / "b" / "c").retries == 2


def test_an_unknown_setting_names_the_nearest(tmp_path: Path) -> None:
    project(tmp_path, "[tool.phronesis]\nretrys = 1\n")
    with pytest.raises(ConfigurationError, match="unknown setting 'retrys'") as caught:
        load_settings({}, folder=tmp_path)
    assert caught.value.mend == "did you mean 'retries'?"
    project(tmp_path, "[tool.phronesis]\nqqqqqqqq = 1\n")
    with pytest.raises(ConfigurationError) as caught:
        load_settings({}, folder=tmp_path)
    assert "concurrency" in str(caught.value.mend)


@pytest.mark.parametrize(
    ("name", "value"),
    [("RETRIES", "-1"), ("RETRIES", "many"), ("TIMEOUT", "0"), ("SEND_SEED", "perhaps"), ("CONCURRENCY", "0")],
)
def test_a_wrong_value_names_setting_value_and_mend(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_settings({f"PHRONESIS_{name}": value}, folder=tmp_path)
    assert name.lower() in caught.value.message and repr(value) in caught.value.message
    assert f"PHRONESIS_{name}" in str(caught.value.mend)


@pytest.mark.parametrize("text", ["[tool.phronesis\n", '[tool]\nphronesis = "x"\n', "[tool.phronesis]\nbase_url = 5\n"])
def test_a_broken_project_file_is_a_configuration_error(tmp_path: Path, text: str) -> None:
    project(tmp_path, text)
    with pytest.raises(ConfigurationError):
        load_settings({}, folder=tmp_path)


def test_the_key_is_shown_nowhere(tmp_path: Path) -> None:
    found = load_settings({"OPENAI_API_KEY": "sk-CANARY"}, folder=tmp_path)
    assert "CANARY" not in f"{found!r} {found!s} {found.model_dump()} {found.model_dump_json()}"
    project(tmp_path, '[tool.phronesis]\napi_key = ["sk-CANARY"]\n')
    with pytest.raises(ConfigurationError) as caught:
        load_settings({}, folder=tmp_path)
    assert "CANARY" not in str(caught.value) and "CANARY" not in repr(caught.value)


def test_settings_do_not_change(tmp_path: Path) -> None:
    found = load_settings({}, folder=tmp_path)
    with pytest.raises(ValueError, match="frozen"):
        found.retries = 3  # type: ignore[misc]  # that is the point
