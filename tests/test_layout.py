"""The repository's shape: what is built is what stands in the tree, and nothing generic is installed."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAPPED = ("agents", "graphs", "memory", "recipes", "tools")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def _packages_in_tree() -> set[str]:
    found = {"phronesis"}
    roots = [(ROOT / "src/phronesis", "phronesis"), *((ROOT / name, f"phronesis.{name}") for name in MAPPED)]
    for root, name in roots:
        for file in root.rglob("__init__.py"):
            parts = file.parent.relative_to(root).parts
            if parts and parts[0] in MAPPED and root.name == "phronesis":
                continue
            found.add(".".join((name, *parts)))
    return found


def test_the_packages_list_equals_the_tree() -> None:
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == _packages_in_tree()


def test_links_are_relative_and_reach_the_mapped_folders() -> None:
    for name in MAPPED:
        link = ROOT / "src/phronesis" / name
        assert link.is_symlink()
        assert os.readlink(link) == f"../../{name}"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built wheel, made from a copy so that nothing is left in the tree."""
    copy = tmp_path_factory.mktemp("build") / "tree"
    copy.mkdir()
    names = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    for name in names:
        source, target = ROOT / name, copy / name
        if not source.exists() and not source.is_symlink():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_symlink():
            target.symlink_to(os.readlink(source))
        else:
            target.write_bytes(source.read_bytes())
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(copy)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    (found,) = out.glob("*.whl")
    return found


def test_the_wheels_only_top_level_is_phronesis(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"phronesis"}


def test_the_wheel_holds_prompts_recipes_and_catalogue(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder, pattern in (("agents/prompts", "*.md"), ("recipes", "*.toml"), ("recipes", "*.jsonl")):
        for file in (ROOT / folder).glob(pattern):
            assert f"phronesis/{folder}/{file.name}" in names
    assert {"phronesis/py.typed", "phronesis/models/catalogue.toml"} <= names


@pytest.mark.parametrize("name", MAPPED)
def test_the_bare_name_is_refused_from_the_root(name: str) -> None:
    env = {key: value for key, value in os.environ.items() if key != "PYTHONSAFEPATH"}
    done = subprocess.run(
        [sys.executable, "-c", f"import {name}"], cwd=ROOT, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert f"import phronesis.{name}" in done.stderr


def _modules_after(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}\nprint(*sys.modules)"], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


HEAVY = {"langgraph", "langchain_core", "chromadb", "torch", "aiohttp", "numpy", "sentence_transformers", "xllamacpp"}


def test_import_phronesis_is_light() -> None:
    assert not _modules_after("import phronesis") & HEAVY


def test_help_is_light() -> None:
    code = (
        "from phronesis.cli.main import app\nfrom typer.testing import CliRunner\nCliRunner().invoke(app, ['--help'])"
    )
    assert not _modules_after(code) & HEAVY


def test_public_names_are_what_the_list_says() -> None:
    import phronesis

    for name in phronesis.__all__:
        assert getattr(phronesis, name).__name__ == name
    with pytest.raises(AttributeError, match="public names"):
        _ = phronesis.nonsense  # type: ignore[attr-defined]


def test_base_dependencies_stay_light() -> None:
    """No torch, no chromadb, no engine in the base; they are extras."""
    base = " ".join(PROJECT["project"]["dependencies"])
    assert not any(name in base for name in ("torch", "chromadb", "xllamacpp", "sentence", "vllm"))


def test_import_contracts_hold() -> None:
    command = [str(Path(sys.executable).parent / "lint-imports")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]


def _imports_outside(pattern: str, allowed: tuple[str, ...]) -> list[str]:
    found = subprocess.run(
        ["git", "grep", "-nE", pattern, "--", "*.py"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.splitlines()
    return [line for line in found if not line.startswith((*allowed, "tests/", "benchmarks/", "docs/"))]


@pytest.mark.parametrize(
    ("package", "allowed"),
    [
        ("langgraph", ("graphs/",)),
        ("chromadb", ("src/phronesis/index/chroma.py", "src/phronesis/index/chroma_server.py")),
        ("aiohttp", ("src/phronesis/core/http.py", "src/phronesis/testing.py")),
        ("xllamacpp", ("src/phronesis/models/",)),
        ("sentence_transformers", ("src/phronesis/index/",)),
    ],
)
def test_third_parties_are_fenced(package: str, allowed: tuple[str, ...]) -> None:
    assert _imports_outside(rf"^\s*(from|import) {package}\b", allowed) == []
