"""A virtual environment for each peer, at a pinned version, so that no peer's requirements meet ours or another's."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent
DEFAULT_HOME = HERE / ".peers"
PINS: dict[str, tuple[str, ...]] = {
    "its_hub": ("its_hub[lm]==1.2.0",),
    "dspy": ("dspy==3.4.1",),
    "openai": ("openai==3.54.0",),
    "inspect_ai": ("inspect-ai==0.3.285", "openai==3.54.0"),
}
"""What is installed, by the name the module is imported under."""
LATEST_LOG_LINES = 3


class PeerMissing(Exception):
    """A peer that cannot be had here, with the reason."""


def interpreter(name: str, home: Path = DEFAULT_HOME, *, say: Callable[[str], None] = lambda text: None) -> Path:
    """The Python of the peer's environment, made on first use and again when the pins change.

    Raises PeerMissing with the end of the installer's output."""
    folder = home.absolute() / name
    python = folder / "bin" / "python"
    done = folder / "installed"
    wanted = "\n".join(PINS[name])
    if done.is_file() and done.read_text(encoding="utf-8") == wanted:
        return python
    say(f"installing {' '.join(PINS[name])} into an environment of its own")
    shutil.rmtree(folder, ignore_errors=True)
    _call([sys.executable, "-m", "venv", str(folder)])
    _call([str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", *PINS[name]])
    done.write_text(wanted, encoding="utf-8")
    return python


def _call(command: list[str]) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=900)
    except (subprocess.SubprocessError, OSError) as error:
        said = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
        raise PeerMissing(" / ".join(line.strip() for line in said[-LATEST_LOG_LINES:])) from None
