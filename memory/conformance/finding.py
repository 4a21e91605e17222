"""Search: exact, ordered, bounded, of any version; by words where there are no vectors."""

from __future__ import annotations

import numpy as np

from phronesis.core.concept import Concept, Hit
from phronesis.core.errors import ConfigurationError, EmbedderMismatch
from phronesis.index.embedders import HashEmbedder
from phronesis.memory.conformance.examples import DISCOUNT, PUMPS, TRAIN, WORDS, Breaking, Stranger, numbered
from phronesis.memory.conformance.expectations import expect, expect_equal, expect_refused
from phronesis.memory.conformance.store import ConceptStore, Stores

CLOSE = 2e-6
"""Scores are rounded to 6 decimals; further than this apart they differ."""


def brute_force(concepts: dict[str, Concept], query: str) -> dict[str, float]:
    """Cosine of the query with the best view of each concept, by id."""
    embedder = HashEmbedder()
    (row,) = embedder.embed_queries([query]).astype(np.float64)
    views = {id: embedder.embed_documents(concept.views).astype(np.float64) for id, concept in concepts.items()}
    return {id: float((rows @ row).max()) for id, rows in views.items()}


def expect_best(hits: list[Hit], scores: dict[str, float], k: int, what: str) -> None:
    """The hits are the k best by these scores, best first, and say so."""
    expect_equal(len({hit.id for hit in hits}), min(k, len(scores)), f"{what}: number of different hits")
    best = sorted(scores.values(), reverse=True)
    for hit, wanted in zip(hits, best, strict=False):
        expect(
            abs(scores[hit.id] - wanted) <= CLOSE, f"{what}: {hit.id} is {scores[hit.id]:.6f}, the best is {wanted:.6f}"
        )
        expect(abs(hit.score - scores[hit.id]) <= CLOSE, f"{what}: {hit.id} is scored {hit.score}")


def search_is_exact(stores: Stores) -> None:
    """The k hits are those whose best view has the highest cosine with the query, best first, scored by it."""
    with stores.open() as store:
        made = numbered(150)
        concepts = dict(zip(store.add(made), made, strict=True))
        for word in (*WORDS, "something else altogether"):
            scores = brute_force(concepts, f"{word} case 7")
            for k in (1, 4, 30):
                hits = store.search(f"{word} case 7", k=k)
                expect_best(hits, scores, k, f"{k} nearest to {word!r}")
                expect_equal([hit.concept for hit in hits], [concepts[hit.id] for hit in hits], "what hits say")


def ties_go_to_the_oldest(stores: Stores) -> None:
    """Concepts that are equally near stand in the order in which they were added. Where the k-th place cuts through such a
    tie, an approximate index may know others of them than the oldest; the scores are the same."""
    with stores.open() as store:
        ids = store.add([Concept(situation="the very same words", suggestion=f"do {n}") for n in range(13)])
        (other,) = store.add([TRAIN])
        for k in (13, 14, 50):
            found = [hit.id for hit in store.search("the same words", k=k)]
            expect_equal(found, [*ids, other][:k], f"the first {k}")
        cut = store.search("the same words", k=4)
        expect_equal(
            [hit.id for hit in cut], sorted((hit.id for hit in cut), key=ids.index), "the order of four of them"
        )
        expect_equal(len({hit.score for hit in cut}), 1, "different scores of four of them")


def fewer_is_a_beginning_of_more(stores: Stores) -> None:
    """The k best are the first k of any longer answer; a k beyond all brings all."""
    with stores.open() as store:
        store.add(numbered(30))
        whole = [hit.id for hit in store.search("pumps and tank", k=1000)]
        expect_equal(len(whole), 30, "hits of a k beyond all")
        for k in (1, 2, 7, 29):
            expect_equal([hit.id for hit in store.search("pumps and tank", k=k)], whole[:k], f"the first {k}")


def a_concept_is_found_once(stores: Stores) -> None:
    """A concept is found by its situation and by each cue, and is one hit whatever many of them match."""
    with stores.open() as store:
        store.add([PUMPS])
        (id,) = store.add([DISCOUNT.model_copy(update={"cues": ("percent off", "percent off the price")})])
        hits = store.search("percent off", k=5)
        expect_equal([hit.id for hit in hits][:1], [id], "the nearest to a cue")
        expect_equal(len(hits), 2, "hits of two concepts")
        expect_equal([round(hit.score, 3) for hit in hits][:1], [1.0], "the score of a cue word for word")


def an_empty_store_finds_nothing(stores: Stores) -> None:
    """Nothing added, nothing found, nothing refused."""
    with stores.open() as store:
        expect_equal((store.search("pumps"), store.recall("pumps", k=3), store.list()), ([], [], []), "an empty store")


def questions_that_are_none_are_refused(stores: Stores) -> None:
    """``search`` refuses an empty query, a k below 1 and versions that do not exist; ``recall`` of no words is empty."""
    with stores.open() as store:
        store.add([PUMPS])
        for query in ("", " \n\t"):
            expect_refused(ConfigurationError, lambda q=query: store.search(q), naming="empty", what="an empty query")  # type: ignore[misc]
            expect_equal(store.recall(query, k=3), [], "recall of no words")
        for k in (0, -1):
            expect_refused(ConfigurationError, lambda k=k: store.search("x", k=k), naming=f"k = {k}", what=f"k = {k}")  # type: ignore[misc]
        for version in (-1, 2, 99):
            call = lambda v=version: store.search("x", version=v)  # noqa: E731
            expect_refused(ConfigurationError, call, naming=str(version), what=f"version {version}")


def an_older_version_is_searched_as_it_was(stores: Stores) -> None:
    """Search and list of an older version see what was then, with the status of then."""
    with stores.open() as store:
        (pumps,) = store.add([PUMPS])
        (train,) = store.add([TRAIN], status="probation")
        then = store.version()
        (later,) = store.add([Concept(situation="a train overtakes a slow car", suggestion="wait")])
        for use in ("a", "b"):
            store.record_use([train], accepted=True, operation=use)
        expect_equal([hit.status for hit in store.search(TRAIN.situation, k=1)], ["active"], "the status of now")
        old = store.search(TRAIN.situation, k=5, version=then)
        expect_equal([(hit.id, hit.status) for hit in old], [(train, "probation"), (pumps, "active")], "search of then")
        expect_equal([(item.id, item.status) for item in store.list(version=then)][1:], [(train, "probation")], "list")
        expect_equal(store.search("train", version=0), [], "search before anything was added")
        expect(later in [hit.id for hit in store.search("train", k=3)], "now the later one is found")


def without_an_embedder_words_are_searched(stores: Stores) -> None:
    """A store without an embedder finds by words, says so in ``degraded``, and of no word it knows finds nothing."""
    with stores.open(lexical=True) as store:
        store.add([PUMPS, TRAIN, DISCOUNT])
        expect(bool(store.degraded), "degraded says nothing")
        expect_equal([hit.concept for hit in store.search("trains overtaking a train", k=1)], [TRAIN], "by words")
        expect_equal(store.search("xylophone"), [], "a word that nothing has")
        expect_equal(store.search("NEAR( \" OR * '", k=3), [], "signs that are no words")


def vectors_are_filled_in_later(stores: Stores) -> None:
    """What was added without an embedder is found by vectors as soon as there is one."""
    made = numbered(20)
    with stores.open(lexical=True) as store:
        concepts = dict(zip(store.add(made), made, strict=True))
    with stores.open() as store:
        expect_best(store.search("tank case 3", k=5), brute_force(concepts, "tank case 3"), 5, "after filling in")
        expect_equal(store.degraded, None, "degraded")


def a_failing_embedder_degrades_to_words(stores: Stores) -> None:
    """While the embedder fails nothing is lost: adding works, search goes by words and says so; afterwards search is by
    vectors again, for what was added meanwhile too."""
    embedder = Breaking()
    with stores.open(embedder=embedder) as store:
        made = [PUMPS, TRAIN, *numbered(10)]
        concepts = dict(zip(store.add(made[:2]), made, strict=False))
        embedder.broken = True
        concepts |= dict(zip(store.add(made[2:]), made[2:], strict=True))
        expect_equal([hit.concept for hit in store.search("which train overtakes", k=1)], [TRAIN], "by words")
        expect(bool(store.degraded), "degraded says nothing")
        embedder.broken = False
        expect_best(store.search("case 3", k=6), brute_force(concepts, "case 3"), 6, "afterwards")
        expect_equal(store.degraded, None, "degraded, afterwards")


def another_embedder_is_refused(stores: Stores) -> None:
    """Vectors of two models are never compared: a stranger is refused, even one of the same name and dimension; the first
    is let in again."""
    with stores.open() as store:
        store.add([PUMPS])

    def use(store: ConceptStore) -> None:
        store.search("pumps")

    def open_and_use() -> None:
        with stores.open(embedder=Stranger()) as store:
            use(store)

    expect_refused(EmbedderMismatch, open_and_use, naming="hash-256", what="another embedder")
    with stores.open() as store:
        expect_equal([hit.concept for hit in store.search("pumps")], [PUMPS], "the first embedder")


LAWS = (
    search_is_exact,
    ties_go_to_the_oldest,
    fewer_is_a_beginning_of_more,
    a_concept_is_found_once,
    an_empty_store_finds_nothing,
    questions_that_are_none_are_refused,
    an_older_version_is_searched_as_it_was,
    without_an_embedder_words_are_searched,
    vectors_are_filled_in_later,
    a_failing_embedder_degrades_to_words,
    another_embedder_is_refused,
)
