"""The performance bars, and where a run's results hold the figure that stands against each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, Any]
Results = Mapping[str, Sequence[Row]]
"""``overhead``, ``imports``, ``memory`` and ``runner``: the rows of each run."""
Found = tuple[float, str] | None
"""A figure and whose it is."""
CLIENT = "phronesis client"
ONE_CHOICE = "phronesis self_consistency, one choice a request"
N_CHOICES = "phronesis self_consistency, n choices a request"
EXACT, INDEX, COLLECTION = "phronesis, exact search", "phronesis, Chroma index", "chromadb collection"


@dataclass(frozen=True)
class Bar:
    """An upper bound, or with ``least`` a lower one."""

    figure: str
    limit: float
    unit: str
    ours: Callable[[Results], Found]
    peer: Callable[[Results], Found] = lambda results: None
    """The best comparable peer's figure in the same run."""
    least: bool = False

    def met(self, results: Results) -> bool | None:
        """None = the run did not measure it."""
        found = self.ours(results)
        if found is None:
            return None
        return found[0] >= self.limit if self.least else found[0] <= self.limit


def _rows(results: Results, figure: str, reply: str, in_flight: int) -> list[Row]:
    """Rows at a setting. A quick run shortens the long wait, and then has no row for it."""
    where = (figure, reply, in_flight)
    found = [row for row in results["overhead"] if (row["figure"], row["reply"], row["in_flight"]) == where]
    return [row for row in found if figure != "fan_out_256" or row["latency_ms"] == 2000]


def _pair(
    figure: str, reply: str, in_flight: int, value: Callable[[Row], float], subject: str, peers: str = ""
) -> dict[str, Any]:
    """Ours: the subject's figure. The peer's: the lowest of those whose name begins with ``peers``."""

    def ours(results: Results) -> Found:
        rows = _rows(results, figure, reply, in_flight)
        return next(((value(row), row["subject"]) for row in rows if row["subject"].startswith(subject)), None)

    def peer(results: Results) -> Found:
        rows = [row for row in _rows(results, figure, reply, in_flight) if row["peer"]]
        chosen = sorted((row for row in rows if row["subject"].startswith(peers)), key=value)
        return (value(chosen[0]), chosen[0]["subject"]) if chosen else None

    return {"ours": ours, "peer": peer}


def _target(name: str) -> Callable[[Results], Found]:
    def find(results: Results) -> Found:
        rows = [row for row in results["imports"] if row["target"] == name]
        return (rows[0]["seconds"]["median"], name) if rows else None

    return find


def _memory(value: Callable[[Row], float], subject: str) -> dict[str, Any]:
    """At the largest number of concepts that the architecture speaks of. The peer: a plain Chroma collection."""

    def of(name: str) -> Callable[[Results], Found]:
        def find(results: Results) -> Found:
            rows = [row for row in results.get("memory", ()) if (row["concepts"], row["subject"]) == (100_000, name)]
            return (value(rows[0]), name) if rows else None

        return find

    return {"ours": of(subject), "peer": of(COLLECTION)}


def _problems(figure: str) -> dict[str, Any]:
    """Problems per second of the first of our subjects at a figure, and the peer's."""

    def of(peer: bool) -> Callable[[Results], Found]:
        def find(results: Results) -> Found:
            rows = [row for row in results.get("runner", ()) if row["figure"] == figure and bool(row["peer"]) == peer]
            return (float(rows[0]["per_second"]["median"]), rows[0]["subject"]) if rows else None

        return find

    return {"ours": of(False), "peer": of(True), "least": True}


def _cpu(row: Row) -> float:
    return float(row["cpu_ms"]["median"])


def _wall(row: Row) -> float:
    return float(row["wall_ms"]["median"])


def _over_latency(row: Row) -> float:
    return round(_wall(row) / float(row["latency_ms"]), 3)


def _p50(figure: str) -> Callable[[Row], float]:
    return lambda row: float(row[figure]["p50"])


def _missed(row: Row) -> float:
    return round(100 * (1 - float(row["recall_at_10"])), 3)


_DIRECT, _MAGICORE = "phronesis direct", "phronesis magicore"
BARS = (
    Bar("client, journal included, 1 KB reply", 0.3, "ms CPU per call", **_pair("cpu", "1KB", 64, _cpu, CLIENT)),
    Bar(
        "client, journal included, 100 KB reply with log-probabilities", 1.2, "ms CPU per call",
        **_pair("cpu", "logprobs", 64, _cpu, CLIENT),
    ),
    Bar("self_consistency, LangGraph included", 1.0, "ms CPU per call", **_pair("cpu", "1KB", 64, _cpu, ONE_CHOICE)),
    Bar("magicore, LangGraph included", 1.0, "ms CPU per call", **_pair("cpu", "1KB", 64, _cpu, _MAGICORE, "inspect_ai")),
    Bar(
        "direct, LangGraph included (one call a task)", 1.0, "ms CPU per call",
        **_pair("cpu", "1KB", 64, _cpu, _DIRECT, "inspect_ai"),
    ),
    Bar("64 samples at 50 ms", 75.0, "ms wall clock", **_pair("fan_out_64", "1KB", 64, _wall, N_CHOICES)),
    Bar("best of 8 at 50 ms", 1.3, "x one call", **_pair("best_of_8", "1KB", 8, _over_latency, "phronesis")),
    Bar("256 in flight at 2 s", 1.1, "x critical path", **_pair("fan_out_256", "1KB", 256, _over_latency, ONE_CHOICE)),
    Bar("memory search at 100,000, exact", 10.0, "ms p50", **_memory(_p50("search_ms"), EXACT)),
    Bar("memory search at 100,000, Chroma index", 10.0, "ms p50", **_memory(_p50("search_ms"), INDEX)),
    Bar("memory search at 100,000, Chroma index: missed of the 10 nearest", 1.0, "%", **_memory(_missed, INDEX)),
    Bar("memory add at 100,000, safe against power loss", 10.0, "ms p50", **_memory(_p50("add_ms"), INDEX)),
    Bar("bench runner, one call a problem, 64 in work", 100.0, "problems/s", **_problems("direct")),
    Bar("bench runner, votes of four", 100.0, "problems/s", **_problems("votes")),
    Bar("import phronesis", 0.1, "s", ours=_target("import phronesis")),
    Bar("phronesis --help", 0.3, "s", ours=_target("phronesis --help"), peer=_target("import langgraph.graph")),
)  # fmt: skip
