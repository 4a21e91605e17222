"""What is measured: the subjects (ours and the peers') and the settings they are measured at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from phronesis.graphs.recipe import shipped
from phronesis.graphs.registry import find

Options = Mapping[str, Any]
FLOOR = "aiohttp post"


@dataclass(frozen=True)
class Subject:
    """One way of making calls."""

    name: str
    script: str
    """File in drivers/."""
    peer: str | None = None
    """Environment it runs in; None = ours."""
    options: Callable[[int], Options] = lambda in_flight: {}
    """What the driver is told, by calls in flight."""
    most: int = 128
    """Choices per request that the mock grants it."""
    replies: Mapping[str, int] = field(default_factory=lambda: {"1KB": 256, "100KB": 256, "logprobs": 256})
    """Kinds of reply it is measured with, and the most calls in flight for each."""
    most_calls: int = 100_000
    """Calls per repetition at the most; subjects that are slow make fewer, which does not change a cost per call."""
    most_repetitions: int = 100

    @property
    def ours(self) -> bool:
        return self.script in ("client.py", "strategy.py")


@dataclass(frozen=True)
class Setting:
    """One comparison: every subject makes the same calls against the same mock."""

    figure: str
    """``cpu``, ``fan_out_64``, ``best_of_8`` or ``fan_out_256``."""
    reply: str
    in_flight: int
    calls: int
    latency: int
    """Milliseconds."""
    repetitions: int
    subjects: tuple[Subject, ...] = field(repr=False)

    @property
    def name(self) -> str:
        return f"{self.figure}, {self.reply}, {self.in_flight} in flight"


def _strategy(recipe: str, most_k: int = 10_000, **overrides: Any) -> Callable[[int], Options]:
    """Options of a strategy with k = calls in flight, at most ``most_k``, so that one task fills its width."""

    def options(in_flight: int) -> Options:
        k = min(in_flight, most_k)
        knobs = {f"knobs.{name}": value for name, value in {"max_tokens": 100_000, **overrides}.items()}
        if recipe != "direct":
            knobs["knobs.k" if "k" in find(recipe).knobs.model_fields else "knobs.n"] = k
        width = 1 if recipe == "direct" else k
        return {"recipe": recipe, "overrides": knobs, "width": width, "per_task": width}

    return options


def _magicore(in_flight: int) -> Options:
    """Eight chains whose answers differ, refined three times: 8 samples, then 2 calls per chain and round."""
    options = _strategy("magicore", 8, rounds=3, quality_floor=2.0, confident=1.0)(in_flight)
    return {**options, "per_task": 56 if in_flight >= 8 else options["per_task"]}


SMALL = {"1KB": 256}
PLAIN = {"1KB": 256, "100KB": 256}
CPU_SUBJECTS: tuple[Subject, ...] = (
    Subject(FLOOR, "floor.py"),
    Subject("phronesis client", "client.py"),
    Subject("phronesis client in a LangGraph node", "client.py", options=lambda in_flight: {"node": True}),
    Subject("phronesis direct", "strategy.py", options=_strategy("direct"), replies=PLAIN),
    Subject("phronesis self_consistency, n choices a request", "strategy.py", options=_strategy("self_consistency"),
            replies=PLAIN),
    Subject("phronesis self_consistency, one choice a request", "strategy.py", options=_strategy("self_consistency"),
            most=1, replies=PLAIN),
    Subject("phronesis magicore, k = 8, 3 rounds", "strategy.py", options=_magicore, replies=SMALL),
    Subject("its_hub SelfConsistency", "its_hub_votes.py", peer="its_hub", replies=PLAIN),
    Subject("its_hub SelfConsistency, no cap", "its_hub_votes.py", peer="its_hub", options=lambda in_flight: {"cap": -1},
            replies=PLAIN),
    Subject("openai AsyncOpenAI", "openai_calls.py", peer="openai"),
    Subject("dspy.LM", "dspy_calls.py", peer="dspy"),
    Subject("inspect_ai, per sample", "inspect_samples.py", peer="inspect_ai",
            replies={"1KB": 256, "100KB": 64, "logprobs": 1}, most_calls=128, most_repetitions=2),
)  # fmt: skip
_BY_NAME = {subject.name: subject for subject in CPU_SUBJECTS}


def best_of_eight() -> Subject:
    """Our best-of-n where it is shipped, else self-consistency, which makes the same eight calls."""
    name = "best_of_n" if "best_of_n" in shipped() else "self_consistency"
    return Subject(f"phronesis {name}", "strategy.py", options=_strategy(name))


def settings(*, quick: bool) -> list[Setting]:
    """Every comparison, in the order it is run. ``quick``: fewer calls and repetitions, a short long wait."""
    many, few = (5, 3) if not quick else (2, 1)
    made = []
    for reply, counts in (("1KB", (32, 512, 512)), ("100KB", (32, 256, 512)), ("logprobs", (32, 128, 256))):
        for in_flight, calls in zip((1, 64) if quick else (1, 64, 256), counts, strict=False):
            subjects = tuple(item for item in CPU_SUBJECTS if item.replies.get(reply, 0) >= in_flight)
            fewer = max(in_flight, 16, calls // 4) if quick else calls
            made.append(Setting("cpu", reply, in_flight, fewer, 20, many if reply == "1KB" else few, subjects))
    rounds = 2 if quick else 5
    fan_out = [item for item in CPU_SUBJECTS if not item.name.startswith(("phronesis direct", "phronesis magicore"))]
    fan_out = [item for item in fan_out if "node" not in item.name]
    eight = (
        _BY_NAME[FLOOR],
        best_of_eight(),
        _BY_NAME["its_hub SelfConsistency"],
        Subject("dspy BestOfN", "dspy_calls.py", peer="dspy", options=lambda in_flight: {"best_of": in_flight}),
    )
    made.append(Setting("fan_out_64", "1KB", 64, 64 * rounds, 50, many, tuple(fan_out)))
    made.append(Setting("best_of_8", "1KB", 8, 8 * rounds, 50, many, eight))
    wide = tuple(item for item in fan_out if item.name not in ("its_hub SelfConsistency", "inspect_ai, per sample"))
    made.append(Setting("fan_out_256", "1KB", 256, 256, 200 if quick else 2000, 1 if quick else 2, wide))
    return made
