"""The laws of a concept store, as checks that any store can be put to; needs no test framework.

``open_store(name, embedder=...)`` opens the store of that name, makes it when there is none, and opens it again after it
was closed, with everything that was acknowledged. With pytest::

    from phronesis.memory.conformance import Check, checks
    from phronesis.memory.session import Memory

    @pytest.mark.parametrize("check", checks(), ids=str)
    def test_my_store_conforms(check: Check, tmp_path: Path) -> None:
        settings = Settings(home=tmp_path)
        check(lambda name, *, embedder: Memory.open(name, settings=settings, embedder=embedder))

Or all at once: ``print(run(open_store))``. The memories that ship pass it, and so does ``reference.ReferenceStore``, the
shortest one that does.
"""

from phronesis.memory.conformance.store import ConceptStore, OpenStore
from phronesis.memory.conformance.suite import Check, Report, checks, run

__all__ = ["Check", "ConceptStore", "OpenStore", "Report", "checks", "run"]
