"""Logistic models: the fit is the penalised maximum, missing figures do no harm, files come back as they were."""

from __future__ import annotations

import math
import string
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phronesis.agents.scorers.logistic import Feature, LogisticModel, fit, load_model, newton
from phronesis.core.errors import RecipeError

Row = Mapping[str, float | None]


def fitted(
    rows: Sequence[Row], right: Sequence[bool], names: Sequence[str] = ("a", "b"), ridge: float = 1.0
) -> LogisticModel:
    return fit(rows, right, names=names, calibrated_on="a test", ridge=ridge)


def slope(model: LogisticModel, rows: Sequence[Row], right: Sequence[bool], ridge: float) -> list[float]:
    """Gradient of the penalised log-likelihood in standardised weights, worked out apart from the code; bias first."""
    wrong_by = [float(good) - model.probability(row) for row, good in zip(rows, right, strict=True)]
    found = [math.fsum(wrong_by)]
    for name, feature in model.features.items():
        values = [row.get(name) for row in rows]
        parts = [0.0 if value is None else (value - feature.mean) / feature.scale for value in values]
        found.append(math.fsum(w * x for w, x in zip(wrong_by, parts, strict=True)) - ridge * feature.weight)
    return found


class TestFit:
    def test_one_feature_against_the_closed_form(self) -> None:
        """Figure 0 or 1, balanced: without penalty the model gives back the two shares, 1/4 and 3/4."""
        rows = [{"a": 0.0}] * 4 + [{"a": 1.0}] * 4
        right = [True, False, False, False, True, True, True, False]
        model = fitted(rows, right, ("a",), ridge=1e-9)
        assert model.probability({"a": 0.0}) == pytest.approx(0.25, abs=1e-6)
        assert model.probability({"a": 1.0}) == pytest.approx(0.75, abs=1e-6)
        assert model.features["a"].mean == 0.5 and model.features["a"].scale == 0.5
        assert model.features["a"].weight == pytest.approx(math.log(3), abs=1e-6)

    def test_without_features_it_is_the_share(self) -> None:
        model = fit([{}] * 4, [True, False, False, False], names=(), calibrated_on="a test")
        assert model.probability({}) == pytest.approx(0.25, abs=1e-5)

    @settings(max_examples=60, deadline=None)
    @given(
        st.lists(st.tuples(st.floats(-5, 5), st.floats(-5, 5), st.booleans()), min_size=4, max_size=40).filter(
            lambda rows: 0 < sum(good for *_, good in rows) < len(rows)
        ),
        st.sampled_from([0.1, 1.0, 10.0]),
    )
    def test_the_gradient_is_zero(self, drawn: list[tuple[float, float, bool]], ridge: float) -> None:
        rows = [{"a": a, "b": b} for a, b, _ in drawn]
        right = [good for *_, good in drawn]
        model = fitted(rows, right, ridge=ridge)
        assert slope(model, rows, right, ridge) == pytest.approx([0.0] * 3, abs=1e-4)

    def test_it_does_not_depend_on_units_or_order(self) -> None:
        rng = np.random.default_rng(1)
        figures = rng.normal(size=(50, 2))
        right = [bool(value) for value in figures[:, 0] + rng.normal(size=50) > 0]
        rows = [{"a": float(a), "b": float(b)} for a, b in figures]
        other = [{"a": 1000 * row["a"] - 7, "b": row["b"] / 50} for row in rows]
        first, second = fitted(rows, right), fitted(other[::-1], right[::-1])
        for row, same in zip(rows, other, strict=True):
            assert first.probability(row) == pytest.approx(second.probability(same), abs=1e-9)

    @pytest.mark.parametrize("ridge", [1.0, 0.01, 1e-4])
    def test_separable_data_stays_finite(self, ridge: float) -> None:
        rows = [{"a": float(number)} for number in range(-20, 21) if number]
        model = fitted(rows, [row["a"] > 0 for row in rows], ("a",), ridge=ridge)
        assert math.isfinite(model.bias) and math.isfinite(model.features["a"].weight)
        assert 0 < model.probability({"a": -20.0}) < 0.5 < model.probability({"a": 20.0}) < 1

    def test_a_figure_that_never_varies_weighs_nothing(self) -> None:
        rows = [{"a": float(number), "b": 3.25} for number in range(6)]
        model = fitted(rows, [False, False, True, False, True, True])
        assert model.features["b"].weight == 0.0
        assert model.probability({"a": 2.0, "b": 1e6}) == model.probability({"a": 2.0})

    def test_missing_figures_take_the_mean_of_the_others(self) -> None:
        rows: list[Row] = [{"a": 1.0}, {"a": None}, {}, {"a": 3.0}, {"a": math.nan}]
        model = fitted(rows, [False, True, False, True, True], ("a", "b"))
        assert model.features["a"].mean == 2.0
        assert model.features["b"] == Feature(weight=0.0, mean=0.0, scale=1.0)
        assert model.probability({"a": None}) == model.probability({"a": 2.0}) == model.probability({})

    @pytest.mark.filterwarnings("ignore::RuntimeWarning")
    def test_an_infinite_figure_is_a_missing_one(self) -> None:
        rows = [{"a": 1.0}, {"a": -math.inf}, {"a": 3.0}, {"a": 2.0}]
        model = fitted(rows, [False, False, True, True], ("a",))
        assert model.features["a"].mean == 2.0 and math.isfinite(model.features["a"].scale)

    @pytest.mark.parametrize("right", [[True, True], [False, False], []])
    def test_one_kind_alone_cannot_be_fitted(self, right: list[bool]) -> None:
        with pytest.raises(ValueError, match="right and wrong"):
            fitted([{"a": 1.0}] * len(right), right, ("a",))

    def test_newton_against_an_independent_optimiser(self) -> None:
        """Plain gradient steps, many of them, arrive at the same weights."""
        rng = np.random.default_rng(7)
        design = np.hstack([np.ones((30, 1)), rng.normal(size=(30, 2))])
        right = (design[:, 1] - design[:, 2] + rng.normal(size=30) > 0).astype(np.float64)
        weights = np.zeros(3)
        for _ in range(20000):
            chance = 1 / (1 + np.exp(-design @ weights))
            weights = weights + 0.05 * (design.T @ (right - chance) - np.array([1e-6, 2.0, 2.0]) * weights)
        assert newton(design, right, ridge=2.0, rounds=50) == pytest.approx(weights, abs=1e-6)


class TestProbability:
    MODEL = LogisticModel(
        calibrated_on="a test", bias=0.5, features={"a": Feature(weight=2.0, mean=1.0, scale=4.0)}
    )  # fmt: skip

    def test_the_formula(self) -> None:
        assert self.MODEL.probability({"a": 3.0}) == pytest.approx(1 / (1 + math.exp(-1.5)))
        assert self.MODEL.probability({"b": 99.0}) == pytest.approx(1 / (1 + math.exp(-0.5)))

    @given(st.one_of(st.none(), st.floats()))
    def test_it_is_always_between_zero_and_one(self, value: float | None) -> None:
        assert 0 < self.MODEL.probability({"a": value}) < 1

    @given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
    def test_it_grows_with_what_weighs_more(self, low: float, high: float) -> None:
        low, high = sorted((low, high))
        assert self.MODEL.probability({"a": low}) <= self.MODEL.probability({"a": high})


names = st.text(alphabet=string.ascii_lowercase + "_", min_size=1, max_size=8)
figures = st.builds(
    Feature, weight=st.floats(-9, 9), mean=st.floats(-99, 99), scale=st.floats(0.01, 100)
)  # fmt: skip


class TestFiles:
    @settings(deadline=None)
    @given(st.dictionaries(names, figures, max_size=4), st.floats(-9, 9), st.one_of(st.none(), st.floats(0, 1)))
    def test_what_is_written_is_read_again(
        self, tmp_path_factory: pytest.TempPathFactory, features: dict[str, Feature], bias: float, area: float | None
    ) -> None:
        model = LogisticModel(calibrated_on="m, d, 5", auroc=area, bias=bias, features=features)
        path = tmp_path_factory.mktemp("model") / "m.toml"
        path.write_text(model.to_toml(), encoding="utf-8")
        again = load_model(str(path))
        assert list(again.features) == list(features) and again.calibrated_on == "m, d, 5"
        row = dict.fromkeys(features, 1.5)
        assert again.probability(row) == pytest.approx(model.probability(row), abs=0.02)

    def written(self, path: Path, model: LogisticModel) -> LogisticModel:
        path.write_text(model.to_toml(), encoding="utf-8")
        return load_model(str(path))

    @pytest.mark.parametrize(
        "text", ["generative(votes=4)", 'signals(model="/a/b.toml")', "x(a='q', b=\"\\\\\")", "ü(é=1)", "tab\there"]
    )
    def test_scorers_with_any_text_come_back(self, tmp_path: Path, text: str) -> None:
        model = LogisticModel(calibrated_on="x", bias=0.0, scorers={"other": text}, features={})
        assert self.written(tmp_path / "m.toml", model).scorers == {"other": text}

    @pytest.mark.parametrize("said", ['my "best" model', "C:\\models\\new", "two\nlines"])
    def test_what_it_was_calibrated_on_may_be_any_text(self, tmp_path: Path, said: str) -> None:
        model = LogisticModel(calibrated_on=said, bias=0.0, features={})
        assert self.written(tmp_path / "m.toml", model).calibrated_on == said

    def test_small_figures_come_back(self, tmp_path: Path) -> None:
        rows = [{"a": number * 1e-6} for number in range(6)]
        model = fitted(rows, [False, False, True, False, True, True], ("a",))
        again = self.written(tmp_path / "m.toml", model)
        assert again.probability({"a": 5e-6}) == pytest.approx(model.probability({"a": 5e-6}), abs=1e-3)

    def test_a_file_that_is_not_there_or_no_model_says_what_to_do(self, tmp_path: Path) -> None:
        broken = tmp_path / "broken.toml"
        for text in (
            "no toml",
            'schema = "phronesis/logistic/1"',
            'schema = "x"\ncalibrated_on = ""\nbias = 0\nfeatures = {}',
        ):
            broken = broken.with_name(broken.name + "x.toml")
            broken.write_text(text, encoding="utf-8")
            with pytest.raises(RecipeError) as caught:
                load_model(str(broken))
            assert str(broken) in caught.value.message
        for name in (str(tmp_path / "none.toml"), "nobody", str(tmp_path)):
            with pytest.raises(RecipeError) as caught:
                load_model(name)
            assert "phronesis scorers fit" in str(caught.value.mend)

    @pytest.mark.parametrize("weight", ["nan", "inf"])
    def test_a_weight_that_is_no_number_is_refused(self, tmp_path: Path, weight: str) -> None:
        path = tmp_path / "m.toml"
        path.write_text(
            'schema = "phronesis/logistic/1"\ncalibrated_on = "x"\nbias = 0.0\n[features]\n'
            f"a = {{ weight = {weight}, mean = 0.0, scale = 1.0 }}\n",
            encoding="utf-8",
        )
        with pytest.raises(RecipeError):
            load_model(str(path))

    def test_a_model_fitted_anew_is_read_anew(self, tmp_path: Path) -> None:
        for bias in (0.0, 2.0):
            model = LogisticModel(calibrated_on="x", bias=bias, features={})
            assert self.written(tmp_path / "m.toml", model).bias == bias
