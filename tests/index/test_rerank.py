"""Cross-encoders that are not there, or fail."""

from __future__ import annotations

import pytest

from phronesis.core.errors import ModelMissing, RetrievalError
from phronesis.core.settings import Settings
from phronesis.index.rerank import open_reranker


def test_a_missing_model_is_named(settings: Settings) -> None:
    with pytest.raises(ModelMissing, match=r"models/no-such-encoder' is no cross-encoder"):
        open_reranker("no-such-encoder", settings)


def test_a_model_that_fails_is_an_error_and_no_order(settings: Settings) -> None:
    folder = settings.models / "broken"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}", encoding="utf-8")
    reranker = open_reranker("broken", settings)
    with pytest.raises(RetrievalError, match="reranker 'broken' failed"):
        reranker.scores("which pump?", ["this one"])
