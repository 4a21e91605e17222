"""The example packages of docs/: their own tests pass when they are installed, and the pages show the files as they are."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "docs" / "examples"
PACKAGES = sorted(file.parent for file in EXAMPLES.glob("*/pyproject.toml"))


@pytest.fixture
def path(tmp_path: Path) -> str:
    """What PYTHONPATH is where every example is installed: its module, and its entry points as pip would write them."""
    for package in PACKAGES:
        project = tomllib.loads((package / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        name = project["name"].replace("-", "_")
        info = tmp_path / f"{name}-{project['version']}.dist-info"
        info.mkdir()
        head = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
        (info / "METADATA").write_text(head, encoding="utf-8")
        lines = []
        for group, points in project["entry-points"].items():
            lines += [f"[{group}]", *(f"{point} = {target}" for point, target in points.items())]
        (info / "entry_points.txt").write_text("\n".join(lines), encoding="utf-8")
    return os.pathsep.join([str(tmp_path), *map(str, PACKAGES)])


def test_the_examples_tests_pass(path: str) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(EXAMPLES)]
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        (["recipes", "cost", str(EXAMPLES / "second_opinion" / "second_opinion.toml")], "2 + D  from 2 to 3"),
        (["recipes", "show", str(EXAMPLES / "second_opinion" / "second_opinion.toml")], "the second opinion is worth"),
    ],
)
def test_the_command_line_knows_them(path: str, command: list[str], shown: str) -> None:
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    whole = [sys.executable, "-m", "phronesis", *command]
    done = subprocess.run(whole, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert shown in done.stdout
