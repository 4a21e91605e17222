"""Rankings fused and made diverse, with numbers; hybrid search and recall of a memory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phronesis.core.concept import Concept
from phronesis.core.errors import ConfigurationError
from phronesis.core.settings import Settings
from phronesis.index.fusing import fuse, fused_order
from phronesis.memory.fusing import diversify
from phronesis.memory.session import Memory


def test_reciprocal_ranks_add_up() -> None:
    fused = fuse([[7, 8, 9], [9, 7]])
    assert fused == pytest.approx({7: 1 / 61 + 1 / 62, 8: 1 / 62, 9: 1 / 63 + 1 / 61})
    assert fused_order(fused, {}) == [7, 9, 8]
    assert fuse([]) == {} and fuse([[], [3, 3]]) == {3: 1 / 61}
    assert fuse([[1], [2]], constant=0) == {1: 1.0, 2: 1.0}


def test_ties_go_to_the_higher_score_then_to_the_older() -> None:
    fused = fuse([[5, 2], [2, 5]])
    assert fused_order(fused, {5: 0.1, 2: 0.9}) == [2, 5]
    assert fused_order(fused, {5: 0.5, 2: 0.5}) == [2, 5]
    assert fused_order(fused, {5: -0.5}) == [5, 2], "one without a score comes last"


@given(st.lists(st.lists(st.integers(0, 9), unique=True), max_size=3))
def test_order_of_the_sides_does_not_matter(rankings: list[list[int]]) -> None:
    scores = {number: 0.0 for number in range(10)}
    assert fused_order(fuse(rankings), scores) == fused_order(fuse(rankings[::-1]), scores)


ALIKE = [np.array([1.0, 0.0], np.float32), np.array([1.0, 0.0], np.float32), np.array([0.0, 1.0], np.float32)]


def test_diversity_prefers_what_is_unlike_what_was_chosen() -> None:
    relevance = [1.0, 0.9, 0.5]
    assert diversify(relevance, ALIKE, 3, diversity=0.0) == [0, 1, 2]
    # second choice: .7 * .9 - .3 * 1 = .33 against .7 * .5 - .3 * 0 = .35
    assert diversify(relevance, ALIKE, 3, diversity=0.3) == [0, 2, 1]
    assert diversify(relevance, ALIKE, 3, diversity=1.0) == [0, 2, 1]
    assert diversify(relevance, ALIKE, 1, diversity=1.0) == [0]
    assert diversify([], [], 3, diversity=0.5) == []
    assert diversify(relevance, [None, None, None], 2, diversity=0.9) == [0, 1], "nothing to compare: the order given"


@given(
    relevance=st.lists(st.floats(0, 1), min_size=1, max_size=8),
    diversity=st.floats(0, 1),
    seed=st.integers(0, 100),
)
def test_fewer_are_the_beginning_of_more(relevance: list[float], diversity: float, seed: int) -> None:
    drawn = np.random.default_rng(seed).normal(size=(len(relevance), 3))
    vectors = list((drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32))
    whole = diversify(relevance, vectors, len(relevance), diversity=diversity)
    assert sorted(whole) == list(range(len(relevance)))
    for k in range(len(relevance)):
        assert diversify(relevance, vectors, k, diversity=diversity) == whole[:k]


PUMPS = Concept(situation="two pumps fill a tank together", suggestion="add the rates")
DISCOUNT = Concept(situation="a price falls", suggestion="multiply", cues=("percent off",))
TRAIN = Concept(situation="a train overtakes a car", suggestion="subtract the speeds")
RARE = Concept(situation="something else entirely here", suggestion="mind the zyzzyva of the pumps", cues=())


@pytest.fixture
def memory(settings: Settings) -> Iterator[Memory]:
    with Memory.open("m", settings=settings) as opened:
        opened.add([PUMPS, DISCOUNT, TRAIN, RARE])
        yield opened


def test_dense_is_the_default_of_search_and_says_which_view(memory: Memory) -> None:
    first, *_ = hits = memory.search("percent off", k=4)
    assert [hit.id for hit in hits] == [hit.id for hit in memory.search("percent off", k=4, mode="dense")]
    assert (first.id, first.why) == ("c2", {"dense": 1.0, "view": 1.0, "rank": 1.0})
    assert first.score == pytest.approx(1.0) and first.origin == "user" and first.trust == "given"


def test_hybrid_scores_every_hit_by_its_cosine(memory: Memory) -> None:
    dense = {hit.id: hit.score for hit in memory.search("zyzzyva tank", k=4)}
    hits = memory.search("zyzzyva tank", k=4, mode="hybrid")
    assert {hit.id: hit.score for hit in hits} == dense
    assert [hit.id for hit in hits[:2]] == ["c1", "c4"]
    lexical = memory.search("zyzzyva tank", k=4, mode="lexical")
    assert {hit.id for hit in lexical} == {"c1", "c4"} and all(0 < hit.score < 1 for hit in lexical)
    for hit in hits:
        sides = [hit.why[side] for side in ("dense", "lexical") if side in hit.why]
        assert hit.why["fused"] == pytest.approx(sum(1 / (60 + rank) for rank in sides), abs=1e-6)
    fused = [hit.why["fused"] for hit in hits]
    assert fused == sorted(fused, reverse=True) and [hit.why["rank"] for hit in hits] == [1, 2, 3, 4]


def test_what_only_words_find_has_its_exact_cosine(memory: Memory) -> None:
    memory.add([Concept(situation=f"zyzzyva zyzzyva {n}", suggestion="x") for n in range(3)])
    (only,) = (hit for hit in memory.recall("zyzzyva", k=8, candidates=8) if hit.id == "c4")
    with_all = {hit.id: hit.score for hit in memory.search("zyzzyva", k=7)}
    few = memory.recall("zyzzyva", k=3, candidates=3)
    assert only.score == with_all["c4"]
    assert all(hit.score == with_all[hit.id] for hit in few)


def test_recall_is_hybrid_and_diverse_on_demand(memory: Memory) -> None:
    memory.add([Concept(situation="two pumps fill a tank together fast", suggestion="add the rates again")])
    plain = memory.recall("two pumps fill a tank together", k=2)
    assert [hit.id for hit in plain] == ["c1", "c5"]
    diverse = memory.recall("two pumps fill a tank together", k=2, diversity=0.9)
    assert diverse[0].id == "c1" and diverse[1].id != "c5"
    assert memory.recall("two pumps fill a tank together", k=2, diversity=0.0) == plain
    assert memory.recall("   ", k=3) == [] and memory.recall("tank", k=0) == []
    with pytest.raises(ConfigurationError, match=r"diversity = 1\.5"):
        memory.recall("tank", k=1, diversity=1.5)


@pytest.mark.parametrize("mode", ["dense", "lexical", "hybrid"])
def test_versions_are_respected_by_every_mode(memory: Memory, mode: str) -> None:
    before = memory.version()
    memory.add([Concept(situation="a tank and a pump", suggestion="later")])
    old = memory.recall("pumps and a tank", k=9, version=before, mode=mode)  # type: ignore[arg-type]  # of Literal
    assert "c5" not in [hit.id for hit in old] and old[0].id == "c1"
    assert "c5" in [hit.id for hit in memory.recall("pumps and a tank", k=9, mode=mode)]  # type: ignore[arg-type]
    assert memory.recall("tank", k=3, version=0, mode=mode) == []  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="no version 99"):
        memory.search("tank", version=99, mode=mode)  # type: ignore[arg-type]


def test_without_an_embedder_hybrid_is_lexical(settings: Settings) -> None:
    with Memory.open("l", settings=settings.model_copy(update={"embedder": "none"})) as memory:
        memory.add([PUMPS, DISCOUNT, RARE])
        found = memory.recall("pumps tank", k=5, diversity=0.5)
        assert found == memory.search("pumps tank", k=5, mode="lexical")
        assert [hit.why for hit in found] == [{"lexical": float(n), "rank": float(n)} for n in (1, 2)]
