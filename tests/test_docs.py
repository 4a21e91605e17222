"""The pages: what they show of the code is up to date, Python snippets run, TOML snippets are valid recipes, links lead
somewhere."""

from __future__ import annotations

import importlib.util
import os
import re
from pathlib import Path

import pytest

from phronesis.bench.running.bench_file import plan_of, read_bench
from phronesis.graphs.recipe import Recipe
from phronesis.testing import FakeServer

ROOT = Path(__file__).parent.parent
PAGES = sorted([*(ROOT / "docs").glob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"])


def _blocks(language: str) -> list[tuple[str, str]]:
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for number, block in enumerate(re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)):
            found.append((f"{page.name}:{number}", block))
    return found


def test_drawings_files_and_output_are_those_of_the_code() -> None:
    spec = importlib.util.spec_from_file_location("draw", ROOT / "docs" / "draw.py")
    assert spec is not None and spec.loader is not None
    draw = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(draw)
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert draw.renewed(text) == text, f"{page.name} is stale: make docs"


@pytest.mark.parametrize(("where", "code"), _blocks("python"), ids=[name for name, _ in _blocks("python")])
def test_python_snippets_run(where: str, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeServer() as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        exec(compile(code, where, "exec"), {"__name__": "snippet"})


@pytest.mark.parametrize(("where", "text"), _blocks("toml"), ids=[name for name, _ in _blocks("toml")])
def test_recipes_and_bench_files_in_pages_are_valid(where: str, text: str) -> None:
    if 'schema = "phronesis/bench/' in text:
        assert plan_of(read_bench(text, where)).name
    else:
        assert Recipe.parse(text, source=where).name


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\((?!http)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_links_into_pages_name_a_heading() -> None:
    for page in PAGES:
        for target, anchor in re.findall(r"\]\((?!http)([^)#]*)#([^)]+)\)", page.read_text(encoding="utf-8")):
            text = (page.parent / target if target else page).read_text(encoding="utf-8")
            headings = [re.sub(r"[^\w\- ]", "", line).strip().lower() for line in re.findall(r"(?m)^#+ (.*)", text)]
            assert anchor in [heading.replace(" ", "-") for heading in headings], f"{page.name}: {target}#{anchor}"


def test_no_page_names_this_machine() -> None:
    folder = os.sep + ROOT.relative_to("/").parts[0] + os.sep
    for page in PAGES:
        assert f"{folder}main" not in page.read_text(encoding="utf-8")
