"""Accuracy against labels: every number of them is a comparison of its own, with intervals corrected for all."""

import pytest
import scipy.stats
from small_comparisons import FEW, Pretended, noise

import lab
from lab.compare import Comparison
from lab.label_curves import LabelDraws, label_curve, label_table, labels_to, transfer_arms, with_labels
from lab.label_plots import accuracy_by_labels
from lab.loading import data_of
from lab.plans import Plan
from lab.recipe import Recipe, RecipeError
from lab.verdicts import critical, interval

pytestmark = pytest.mark.usefixtures("one_thread")

PLAN = Plan(arms={"sgd": FEW, "adam": FEW.changed(optimizer="adam")}, seeds=4, tune=False)


def test_only_the_number_of_labels_changes():
    recipe = Recipe(modify=["classes", {"name": "subset", "per_class": 3, "draw": 7}])
    assert with_labels(recipe, 9) == recipe.changed(**{"modify.subset.per_class": 9})
    assert with_labels(recipe, None) == Recipe(modify="classes")
    assert with_labels(Recipe(), 9) == Recipe(modify={"name": "subset", "per_class": 9})
    assert with_labels(Recipe(modify="classes"), 9) == Recipe(modify=["classes", {"name": "subset", "per_class": 9}])


@pytest.mark.parametrize("other", ["backgrounds", "classes", "random_labels"])
def test_a_subset_stays_where_it_was(other):
    """Behind `backgrounds` there are all images to adapt to, behind `classes` other ones are drawn."""
    recipe = Recipe(modify=[{"name": "subset", "per_class": 3}, other])
    assert with_labels(recipe, 3) == recipe
    assert [choice.name for choice in with_labels(recipe, 9).modify] == ["subset", other]
    assert with_labels(recipe, None) == Recipe(modify=other)


def test_each_number_is_a_comparison_that_is_kept_and_gone_on_with(tmp_path):
    found = label_curve(PLAN, (1, None), folder=tmp_path, device="cpu")
    assert sorted(place.name for place in tmp_path.iterdir()) == ["1-per-class", "all-per-class"]
    alone = LabelDraws(found[1].plan, device="cpu").run()
    assert found[1].scores("given") == alone.scores("given")
    assert found[1].plan.arms["sgd"] == with_labels(FEW, 1)
    again = label_curve(PLAN, (1, None), folder=tmp_path, device="cpu")
    assert {trial.seconds for trial in again[1].trials} == {trial.seconds for trial in found[1].trials}


def test_each_seed_draws_its_own_labels_the_same_for_all_arms():
    found = LabelDraws(PLAN.model_copy(update={"arms": {name: with_labels(FEW, 1) for name in PLAN.arms}}))
    drawn = [[found._recipe(name, 0.1, seed) for name in PLAN.arms] for seed in (0, 1)]
    labelled = [[data_of(recipe).train.images.sum().item() for recipe in recipes] for recipes in drawn]
    assert labelled[0][0] == labelled[0][1] != labelled[1][0] == labelled[1][1]
    assert found.arms["sgd"].modify[0].draw == 0  # the plan is as it was


def test_arms_are_scratch_and_each_transfer_and_the_recipes_own_keeps_its_settings():
    recipe = Recipe(source={"name": "run", "folder": "a"}, transfer={"name": "whole", "frozen": 1})
    arms = transfer_arms(recipe, ["features", "whole", "scratch"])
    assert list(arms) == ["scratch", "features", "whole"]
    assert arms["whole"] == recipe
    assert {arm.changed(transfer="scratch") for arm in arms.values()} == {arms["scratch"]}
    assert set(transfer_arms(recipe)) == set(lab.transfers)


def test_scratch_beside_pretrained_weights_starts_as_their_new_layers_do():
    arms = transfer_arms(
        Recipe(source={"name": "run", "folder": "a"}, transfer="whole", init="pretrained"), ["features"]
    )
    assert {name: arm.init.name for name, arm in arms.items()} == {"scratch": "he_normal", "features": "pretrained"}


def test_without_a_source_there_is_nothing_to_transfer():
    with pytest.raises(
        RecipeError, match=r"^Transfers take weights from a source, but the recipe has none: set source"
    ):
        transfer_arms(Recipe())


class Known:
    """A comparison that has ended."""

    phases = ("given",)

    def __init__(self, sequential=False, **scores):
        self.plan, self.known, self.sequential = PLAN, scores, sequential

    def scores(self, phase):
        return self.known


def test_intervals_are_paired_and_corrected_for_all_rows():
    base = [0.8 + 10 * noise(seed) for seed in range(4)]
    better = [score + 0.05 + noise(seed + 9) for seed, score in enumerate(base)]
    table = label_table({1: Known(a=base, b=better), None: Known(a=base, b=base[::-1])}, "given")
    assert list(table["per_class"].fillna(0)) == [1, 0]
    expected = interval([b - a for a, b in zip(base, better, strict=True)], 1 - 0.05 / 2)
    assert (table["low"][0], table["high"][0]) == (expected.low, expected.high)
    assert table["accuracy of a"][0] == pytest.approx(sum(base) / 4)
    assert table["accuracy"][0] == pytest.approx(sum(better) / 4)
    assert list(table["outcome"]) == ["better", "no difference shown"]


def test_intervals_of_a_plan_that_may_stop_early_hold_whenever_it_stops():
    base, better = [0.8, 0.81, 0.79, 0.8], [0.85, 0.83, 0.82, 0.86]
    table = label_table({1: Known(sequential=True, a=base, b=better)}, "given")
    differences = [b - a for a, b in zip(base, better, strict=True)]
    expected, plain = (interval(differences, 0.95, sequential=sequential) for sequential in (True, False))
    assert (table["low"][0], table["high"][0]) == (expected.low, expected.high)
    assert expected.low < plain.low
    found = came_out({"sgd": [0.7, 0.74, 0.72, 0.72], "adam": better}, stop_early=True)
    band = next(line for line in accuracy_by_labels({1: found}, "given").data if line.legendgroup == "sgd")
    assert band.y[0] == pytest.approx(72 + critical(4, 0.95, sequential=True) * scipy.stats.sem([70, 74, 72, 72]))


@pytest.mark.parametrize("counts", [(), (1, 1)])
def test_numbers_of_labels_are_there_and_each_once(counts):
    with pytest.raises(RecipeError, match=r"^counts is .*, but must be numbers of labels, each once"):
        label_curve(PLAN, counts)


def test_a_number_that_cannot_be_is_refused_before_anything_runs(monkeypatch):
    monkeypatch.setattr(Comparison, "run", lambda _: pytest.fail("a comparison was run"))
    with pytest.raises(RecipeError, match="per_class is 0, but must be"):
        label_curve(PLAN, (1, 0))


@pytest.mark.parametrize("told", [label_table, accuracy_by_labels])
def test_a_phase_that_the_plan_has_not_is_refused(told):
    with pytest.raises(
        RecipeError, match=r"^phase is 'tuned', but this plan has given alone: its rates were not tuned"
    ):
        told({1: came_out({"sgd": [0.7] * 4, "adam": [0.9] * 4})}, "tuned")


def test_the_figure_has_each_mean_at_its_number_and_the_interval_around_it():
    scores = {"sgd": [0.7, 0.74, 0.72, 0.72], "adam": [0.9, 0.9, 0.9, 0.9]}
    found = {1: came_out(scores), None: came_out({name: [score + 0.05 for score in scores[name]] for name in scores})}
    figure = accuracy_by_labels(found, "given")
    lines = {line.name: line for line in figure.data if line.name}
    assert list(lines["sgd"].x) == ["1", "all"]
    assert list(lines["sgd"].y) == pytest.approx([72, 77])
    band = next(line for line in figure.data if not line.name and line.legendgroup == "sgd")
    half = scipy.stats.t.ppf(0.975, 3) * scipy.stats.sem([70, 74, 72, 72])
    assert list(band.y) == pytest.approx([72 + half, 77 + half, 77 - half, 72 - half])


def came_out(scores, **changes):
    """A comparison that pretends to have these accuracies by seed."""
    return Pretended(PLAN.model_copy(update=changes), lambda asked: scores[asked[1]][asked[3]]).run()


@pytest.mark.parametrize(
    ("curve", "labels"),
    [
        ({1: 0.8, 2: 0.9}, 1.0),  # fewer were not tried
        ({1: 0.2, 10: 0.5, 100: 0.7}, None),
        ({1: 0.2, 10: 0.8}, 10.0),
        ({10: 0.9, 1: 0.7}, 10**0.5),  # in any order
        ({1: 0.6, 100: 1.0}, 10.0),
        ({2: 0.7, 8: 0.9, 20: 0.75, 50: 0.9}, 4.0),  # the first crossing, though it is lost again
    ],
)
def test_labels_to_an_accuracy_lie_on_a_line_over_their_logarithm(curve, labels):
    found = labels_to(0.8, curve)
    assert found == (labels if labels is None else pytest.approx(labels))
