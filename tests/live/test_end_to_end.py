"""The whole path on a real model: MAgICoRe on the embedded engine, from the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import SHARED_HOME
from phronesis.graphs.recipe import Recipe

MODEL = "qwen2.5-coder-0.5b-instruct-q4_k_m"
KNOBS = ("k=3", "rounds=1", "max_tokens=80", "review_tokens=40", "quality_floor=2.0", "confident=1.0")


@pytest.mark.live
def test_magicore_on_the_small_model(home: Path) -> None:
    """Three chains, one forced round where answers differ; calls and depth follow the cost law; a replay costs nothing."""
    models = Path(SHARED_HOME) / "models"
    assert SHARED_HOME and (models / f"{MODEL}.gguf").is_file(), (
        f"no {MODEL}: run `make test`, or set PHRONESIS_HOME and run `phronesis models pull {MODEL}`"
    )
    home.mkdir(parents=True)
    (home / "models").symlink_to(models)
    env = {
        **os.environ,
        "PHRONESIS_MODEL": MODEL,
        "PHRONESIS_ENGINE_IDLE": "2",
        "PHRONESIS_EMBEDDER": "all-minilm-l6-v2",
    }
    sets = [part for knob in KNOBS for part in ("--set", f"knobs.{knob}")]
    question = "A farmer has 17 sheep and buys 5 more. How many sheep does he have now?"
    command = [sys.executable, "-m", "phronesis", "run", "magicore", "--json", "--session", "live", *sets, question]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    refined = [item for item in result["candidates"] if item["round"] == 1]
    recipe = Recipe.load("magicore", overrides={f"knobs.{k}": _value(v) for k, v in (x.split("=") for x in KNOBS)})
    law = recipe.strategy.cost(recipe.knobs)
    rounds = int(bool(refined))
    learned = result["usage"]["by_role"].get("abstractor", {}).get("calls", 0)
    assert result["usage"]["calls"] == law.calls_at(P=len(refined), R=rounds, s=3) + learned
    assert result["depth"] == law.depth_at(P=len(refined), R=rounds, s=3) + learned
    assert all(item["mean_logprob"] < 0 and item["tokens"] > 0 for item in result["candidates"])
    assert result["memory"]["written"][0]["reason"]
    assert not result["degraded"], "the embedder was not found"
    again = [sys.executable, "-m", "phronesis", "runs", "resume", result["run_id"], "--json"]
    env["PHRONESIS_MODEL"] = "a-model-that-is-not-there"
    replayed = subprocess.run(again, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert replayed.returncode == 0, replayed.stderr
    other = json.loads(replayed.stdout)
    for item in (result, other):
        item["usage"].pop("seconds")
    assert other == result


def _value(text: str) -> float | int:
    return float(text) if "." in text else int(text)
