"""Exact Shapley values of trees, held against LightGBM's own, against all coalitions, and against the sum they must have."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from math import factorial

import lightgbm
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesClassifier, GradientBoostingClassifier, RandomForestClassifier

from bailiwick.features.compilation import compile_features
from bailiwick.features.model import FittedFeature, FittedFeatures
from bailiwick.lifecycle.explaining.ensemble import Ensemble, ensemble_node, read_ensemble
from bailiwick.lifecycle.explaining.shapley import of_trees, sampled
from bailiwick.lifecycle.explaining.subject import GraphSubject, Rows, Trees, trees_of
from bailiwick.lifecycle.explaining.tree_shap import interventional, path_dependent
from bailiwick.training.conversion import convert
from bailiwick.training.packaging import package

WIDTH = 6


def data(rows: int = 800, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(rows, WIDTH)).astype(np.float32)
    features[rng.random(features.shape) < 0.05] = np.nan
    known = np.nan_to_num(features)
    chance = 1 / (1 + np.exp(-(known[:, 0] - known[:, 1] * known[:, 2] + (known[:, 3] > 0.5))))
    return features, (rng.random(rows) < chance).astype(np.int64)


def booster(trees: int = 30) -> tuple[lightgbm.LGBMClassifier, Ensemble, NDArray[np.float32]]:
    features, labels = data()
    made = lightgbm.LGBMClassifier(n_estimators=trees, num_leaves=15, verbose=-1, n_jobs=1)
    made.fit(features, labels)
    model = convert(made, WIDTH, opset=15, ml_opset=3, ir_version=8)
    node = ensemble_node(model)
    assert node is not None
    ensemble = read_ensemble(node)
    assert ensemble is not None
    return made, ensemble, features


def weights_of(ensemble: Ensemble) -> NDArray[np.float64]:
    return ensemble.weights[:, -1]


def test_the_trees_answer_as_the_booster_that_they_are_of() -> None:
    made, ensemble, features = booster()
    raw = made.booster_.predict(features, raw_score=True)
    assert np.allclose(ensemble.scores(features)[:, -1], raw, atol=1e-5)
    assert (ensemble.reached(features).sum(axis=1) == 30).all()


def test_path_dependent_values_are_those_of_lightgbm() -> None:
    made, ensemble, features = booster()
    cover = ensemble.reached(features).sum(axis=0).astype(np.float64)
    theirs = np.asarray(made.booster_.predict(features[:25], pred_contrib=True))
    for row, expected in zip(features[:25], theirs, strict=True):
        values, base = path_dependent(ensemble, np.arange(WIDTH), WIDTH, weights_of(ensemble), row[None], cover)
        assert np.allclose(values, expected[:-1], atol=2e-5)
        assert base == pytest.approx(expected[-1], abs=2e-5)


def brute_force(
    ensemble: Ensemble, player: Sequence[int], players: int, row: NDArray[np.float32], others: NDArray[np.float32]
) -> NDArray[np.float64]:
    """By the definition: the mean marginal contribution over all coalitions."""

    def worth(coalition: tuple[int, ...]) -> float:
        mixed = others.copy()
        for feature, owner in enumerate(player):
            if owner in coalition:
                mixed[:, feature] = row[feature]
        return float((ensemble.scores(mixed) @ np.eye(ensemble.weights.shape[1])[-1]).mean())

    values = np.zeros(players)
    for mine in range(players):
        rest = [other for other in range(players) if other != mine]
        for size in range(players):
            weight = factorial(size) * factorial(players - size - 1) / factorial(players)
            for some in combinations(rest, size):
                values[mine] += weight * (worth((*some, mine)) - worth(some))
    return values


@pytest.mark.parametrize("player", [list(range(WIDTH)), [0, 0, 1, 2, 1, 3]])
def test_interventional_values_are_the_mean_over_all_coalitions(player: list[int]) -> None:
    _, ensemble, features = booster()
    players = max(player) + 1
    others = features[100:140]
    for row in features[:5]:
        values = interventional(ensemble, np.array(player), players, weights_of(ensemble), row[None], others)
        assert np.allclose(values, brute_force(ensemble, player, players, row, others), atol=1e-6)


@pytest.mark.parametrize("forest", [RandomForestClassifier, ExtraTreesClassifier, GradientBoostingClassifier])
def test_forests_of_scikit_learn_sum_to_what_they_answer(forest: type) -> None:
    features, labels = data(400)
    features = np.nan_to_num(features)
    made = forest(n_estimators=12, max_depth=4, random_state=0).fit(features, labels)
    subject, row, background = package_of(made, features)
    trees = trees_of(subject, {name: values[:50] for name, values in background.items()})
    assert isinstance(trees, Trees), trees
    shap = of_trees(trees, row, background)
    total = shap.base + sum(each.value for each in shap.contributions)
    assert total == pytest.approx(shap.reached, abs=1e-9)
    answer = float(subject.score(row)[0])
    told = 1 / (1 + np.exp(-shap.reached)) if shap.space == "log_odds" else shap.reached
    assert told == pytest.approx(answer, abs=1e-5)


def package_of(made: object, features: NDArray[np.float32], *fitted: FittedFeature) -> tuple[GraphSubject, Rows, Rows]:
    """The estimator behind a feature graph of plain numbers, the first row, and all rows as background."""
    named = fitted or tuple(FittedFeature(f"x{place}", "number", "FP32") for place in range(features.shape[1]))
    subject = GraphSubject(package(compile_features(FittedFeatures(named)), made), "", -1)
    rows: Rows = {f"x{place}": features[:, place].astype(np.float64) for place in range(features.shape[1])}
    return subject, {name: values[:1] for name, values in rows.items()}, rows


def test_one_hot_columns_are_one_column_and_a_column_read_twice_is_one_player() -> None:
    rng = np.random.default_rng(3)
    count = 600
    raw: Rows = {
        "amount": rng.exponential(10, count),
        "country": np.array(rng.choice(["AT", "BE", "CH"], count), dtype=object),
        "unused": rng.normal(size=count),
    }
    fitted = FittedFeatures(
        (
            FittedFeature("amount", "number", "FP32"),
            FittedFeature("bucket", "bucketize", "FP32", edges=(5.0, 10.0), source="amount"),
            FittedFeature("unused", "number", "FP32"),
            FittedFeature("country", "one_hot", "BYTES", categories=("AT", "BE", "CH")),
        )
    )
    graph = compile_features(fitted)
    labels = ((raw["amount"] > 8) ^ (raw["country"] == "AT")).astype(np.int64)
    matrix = GraphRun(graph).run(raw)
    made = lightgbm.LGBMClassifier(n_estimators=20, num_leaves=7, verbose=-1, n_jobs=1).fit(matrix, labels)
    subject = GraphSubject(package(graph, made), "", -1)
    background = {name: values[:80] for name, values in raw.items()}
    trees = trees_of(subject, background)
    assert isinstance(trees, Trees), trees
    assert [each for each in trees.players if len(each) > 1] == []
    row = {name: values[200:201] for name, values in raw.items()}
    shap = of_trees(trees, row, background)
    exact = {each.columns[0]: each.value for each in shap.contributions}
    expected = by_definition(lambda rows: trees.margin(trees.features(rows)), row, background)
    assert exact == pytest.approx(expected, abs=1e-6)
    assert shap.space == "log_odds"


class GraphRun:
    """A feature graph by itself."""

    def __init__(self, model: onnx.ModelProto) -> None:
        import onnxruntime

        self._session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])

    def run(self, rows: Rows) -> NDArray[np.float32]:
        feed = {
            each.name: rows[each.name].reshape(-1, 1).astype(object if each.type == "tensor(string)" else np.float32)
            for each in self._session.get_inputs()
        }
        found: NDArray[np.float32] = self._session.run(None, feed)[0]
        return found


def by_definition(score: object, row: Rows, background: Rows) -> dict[str, float]:
    """Shapley values over raw columns by running the whole model for every coalition."""
    names = list(row)
    count = len(next(iter(background.values())))

    def worth(coalition: Sequence[str]) -> float:
        mixed = {name: np.repeat(row[name], count) if name in coalition else background[name] for name in names}
        return float(np.mean(score(mixed)))  # type: ignore[operator]

    values = {}
    for mine in names:
        rest = [name for name in names if name != mine]
        values[mine] = sum(
            factorial(len(some)) * factorial(len(names) - len(some) - 1) / factorial(len(names))
            * (worth([*some, mine]) - worth(some))
            for size in range(len(names))
            for some in combinations(rest, size)
        )  # fmt: skip
    return values


def test_sampled_values_sum_to_the_answer_and_are_as_near_as_they_say() -> None:
    features, labels = data(400)
    features = np.nan_to_num(features)
    made = GradientBoostingClassifier(n_estimators=15, max_depth=3, random_state=0).fit(features, labels)
    subject, row, rows = package_of(made, features)
    background = {name: values[:40] for name, values in rows.items()}
    shap = sampled(subject, row, background, permutations=400, seed=1, why="it is tried")
    assert shap.base + sum(each.value for each in shap.contributions) == pytest.approx(shap.reached, abs=1e-6)
    expected = by_definition(subject.score, row, background)
    for each in shap.contributions:
        assert abs(each.value - expected[each.columns[0]]) < 5 * each.error + 1e-3
    assert max(each.error for each in shap.contributions) < 0.02
    again = sampled(subject, row, background, permutations=400, seed=1, why="it is tried")
    assert again == shap


def test_what_is_no_ensemble_alone_is_told_in_words() -> None:
    from sklearn.linear_model import LogisticRegression

    features, labels = data(300)
    features = np.nan_to_num(features)
    subject, _, rows = package_of(LogisticRegression().fit(features, labels), features)
    assert trees_of(subject, {name: values[:20] for name, values in rows.items()}) == (
        "the package is not one ensemble of trees"
    )


def owen_by_definition(score: object, row: Rows, background: Rows, sets: Sequence[Sequence[str]]) -> dict[str, float]:
    """Owen's value by its definition: orders of the sets, and within a set orders of its members."""
    count = len(next(iter(background.values())))

    def worth(coalition: Sequence[str]) -> float:
        mixed = {name: np.repeat(row[name], count) if name in coalition else background[name] for name in row}
        return float(np.mean(score(mixed)))  # type: ignore[operator]

    values = {}
    for own in sets:
        others = [each for each in sets if each is not own]
        for mine in own:
            rest = [name for name in own if name != mine]
            total = 0.0
            for outer in range(len(others) + 1):
                for around in combinations(others, outer):
                    there = [name for each in around for name in each]
                    outer_weight = factorial(outer) * factorial(len(others) - outer) / factorial(len(sets))
                    for inner in range(len(rest) + 1):
                        for some in combinations(rest, inner):
                            weight = factorial(inner) * factorial(len(rest) - inner) / factorial(len(own))
                            gained = worth([*there, *some, mine]) - worth([*there, *some])
                            total += outer_weight * weight * gained
            values[mine] = total
    return values


def test_columns_that_a_feature_joins_part_its_value_as_owen_has_it() -> None:
    rng = np.random.default_rng(5)
    raw: Rows = {name: rng.normal(size=700) for name in ("a", "b", "c", "d")}

    def features(rows: Rows) -> NDArray[np.float32]:
        return np.stack([rows["a"] * rows["b"], rows["a"], rows["c"], rows["d"]], axis=1).astype(np.float32)

    matrix = features(raw)
    labels = (matrix[:, 0] + matrix[:, 1] * matrix[:, 2] > 0.2).astype(np.int64)
    made = lightgbm.LGBMClassifier(n_estimators=15, num_leaves=15, verbose=-1, n_jobs=1).fit(matrix, labels)
    node = ensemble_node(convert(made, 4, opset=15, ml_opset=3, ir_version=8))
    assert node is not None
    ensemble = read_ensemble(node)
    assert ensemble is not None
    weights = np.eye(ensemble.weights.shape[1])[-1]
    sets = (("a", "b"), ("c",), ("d",))
    trees = Trees(ensemble, features, weights, ensemble.weights @ weights, "log_odds", sets, np.array([0, 0, 1, 2]))
    background = {name: values[:40] for name, values in raw.items()}
    row = {name: values[60:61] for name, values in raw.items()}
    shap = of_trees(trees, row, background)
    found = {each.columns[0]: each.value for each in shap.contributions}
    expected = owen_by_definition(lambda rows: trees.margin(features(rows)), row, background, sets)
    assert found == pytest.approx(expected, abs=1e-6)
    assert shap.base + sum(found.values()) == pytest.approx(shap.reached, abs=1e-9)
    assert shap.crossed == [("a", "b")]
