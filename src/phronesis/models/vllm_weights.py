"""What ``models serve`` hands to vLLM: a folder in Hugging Face layout or a hub id.

vLLM on a CPU cannot read GGUF files, so a catalogue model is written out once, as ``<name>.hf`` beside its file.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from phronesis.core.errors import ConfigurationError, ModelMissing, SetupError
from phronesis.core.settings import Settings
from phronesis.models.catalogue import ModelEntry, catalogue, entry
from phronesis.models.locks import exclusive
from phronesis.models.logged import Heard, how_it_ended, last_lines, run_logged
from phronesis.models.vllm_environment import VllmEnvironment, child_environ

STAMP = "phronesis.json"
"""File in a written folder that names the GGUF file it was made from."""
GROWTH = 4
"""A written folder has 2 bytes per weight, a 4-bit file 0.5 to 0.6."""
SCRIPT = Path(__file__).with_name("convert_gguf.py")

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """A model vLLM can open."""

    name: str
    """What requests call it."""
    source: str
    """The folder's path, or the hub id."""
    longest: int | None
    """Tokens the model was made for, where its config says."""


def is_folder(name: str) -> bool:
    """Whether it is the path of a folder in Hugging Face layout."""
    return (Path(name).expanduser() / "config.json").is_file()


def is_hub_id(name: str) -> bool:
    """Whether it reads like ``owner/name`` and is no path on this machine."""
    return _HUB_ID.fullmatch(name) is not None and not Path(name).expanduser().exists()


def open_weights(name: str, settings: Settings, environment: VllmEnvironment, *, heard: Heard) -> Weights:
    """The model of that name, written out first when it is a GGUF file of the catalogue (minutes; blocks the thread).

    Raises ModelMissing when it is not here, ConfigurationError when vLLM cannot serve such a thing, SetupError when it
    cannot be written out."""
    if name in catalogue():
        folder = hf_folder(entry(name), settings, environment, heard=heard)
        return Weights(name=name, source=str(folder), longest=_longest(folder))
    path = Path(name).expanduser()
    if is_folder(name):
        if not any(path.glob("*.safetensors")) and not any(path.glob("*.bin")):
            raise ConfigurationError(
                f"{name!r} has a config.json but no *.safetensors or *.bin: its weights are lacking"
            )
        path = path.resolve()
        return Weights(name=path.name, source=str(path), longest=_longest(path))
    if path.exists():
        what = "has no config.json" if path.is_dir() else "is a file"
        raise ConfigurationError(
            f"{name!r} {what}; vLLM serves folders in Hugging Face layout, catalogue names and hub ids",
            mend=f"phronesis models serve {name} --engine embedded" if path.suffix == ".gguf" else None,
        )
    if is_hub_id(name):
        return Weights(name=name, source=name, longest=None)
    entry(name)
    raise AssertionError("entry raises for names that are not in the catalogue")


def _longest(folder: Path) -> int | None:
    try:
        config = json.loads((folder / "config.json").read_bytes())
        found = config.get("max_position_embeddings") or config.get("text_config", {}).get("max_position_embeddings")
        return int(found) if found else None
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def hf_folder(model: ModelEntry, settings: Settings, environment: VllmEnvironment, *, heard: Heard) -> Path:
    """The folder with the catalogue model's weights, written unless it is there.

    Raises SetupError when a folder of that name was made from another file."""
    if model.kind != "gguf":
        raise ConfigurationError(f"{model.name!r} is an embedder; models serve serves language models")
    folder = settings.models / f"{model.name}.hf"
    try:
        if _is_made(folder, model.sha256):
            return folder
        file = settings.models / model.place
        if not file.is_file():
            raise ModelMissing(
                f"model {model.name!r} is not in {str(settings.models)!r}", mend=f"phronesis models pull {model.name}"
            )
        with exclusive(settings.models / f".{folder.name}.lock") as lock:
            if not _is_made(folder, model.sha256):
                _write(model, file, folder, environment, heard=heard, lock=lock)
        return folder
    except OSError as error:
        raise SetupError(
            f"cannot write {str(folder)!r}: {error}", mend="set PHRONESIS_HOME to a folder you can write to"
        ) from error


def _is_made(folder: Path, sha256: str) -> bool:
    """Whether the folder is there. Raises SetupError when it is another file's, or nobody knows whose."""
    if not folder.exists():
        return False
    try:
        found = json.loads((folder / STAMP).read_bytes())["gguf_sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        found = "unknown"
    if found != sha256:
        raise SetupError(
            f"{str(folder)!r} was made from another file: sha256 {found}, the catalogue's is {sha256}",
            mend=f"rename it to serve it by its path, or rm -r {folder}",
        )
    return True


def _write(
    model: ModelEntry, file: Path, folder: Path, environment: VllmEnvironment, *, heard: Heard, lock: int
) -> None:
    with file.open("rb") as data:
        found = hashlib.file_digest(data, "sha256").hexdigest()
    if found != model.sha256:
        raise ModelMissing(
            f"{str(file)!r} is damaged: sha256 is {found}, the catalogue says {model.sha256}",
            mend=f"rm {file} && phronesis models pull {model.name}",
        )
    partial = folder.with_name(f".{folder.name}.partial")
    log = log_path(folder)
    shutil.rmtree(partial, ignore_errors=True)
    free, need = shutil.disk_usage(folder.parent).free, GROWTH * model.bytes
    if free < need:
        raise SetupError(
            f"{str(folder.parent)!r} has {free >> 20} MiB free, {folder.name!r} needs about {need >> 20} MiB",
            mend="make room, or set PHRONESIS_HOME to a folder on another disk",
        )
    partial.mkdir()
    try:
        log.unlink(missing_ok=True)
        command = [str(environment.python), str(SCRIPT), str(file), str(partial)]
        env = {**child_environ(environment.python), "HF_HUB_OFFLINE": "1"}
        code = run_logged(command, log, heard=heard, env=env, keep=(lock,))
        if code != 0:
            raise _failed(model, environment, log, code)
        _stamp(partial, model, environment)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def log_path(folder: Path) -> Path:
    """Log of the writing of that folder."""
    return folder.with_name(f".{folder.name}.log")


def _failed(model: ModelEntry, environment: VllmEnvironment, log: Path, code: int) -> SetupError:
    text = log.read_text(encoding="utf-8", errors="replace")
    mend = None
    if lacking := re.search(r"^lacking: (.+)$", text, re.MULTILINE):
        mend = f"{environment.python} -m pip install {lacking[1]}"
    elif "torchvision::" in text:
        mend = f"{environment.python} -m pip uninstall torchvision"
    return SetupError(
        f"writing {model.name!r} in Hugging Face layout {how_it_ended(code)}; the log {str(log)!r} ends:\n"
        f"{last_lines(log)}",
        mend=mend,
        log=str(log),
    )


def _stamp(folder: Path, model: ModelEntry, environment: VllmEnvironment) -> None:
    stamp = {"source": model.file, "gguf_sha256": model.sha256, "written_with": dict(environment.versions)}
    with (folder / STAMP).open("w", encoding="utf-8") as out:
        out.write(json.dumps(stamp, indent=2))
        out.flush()
        os.fsync(out.fileno())
