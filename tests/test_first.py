"""What is trained first for a comparison: found by its recipe, trained once, gone on with, its classes another task."""

import json

import pytest
import torch
from small_comparisons import FEW, QUICK

import lab
from lab.compare import Comparison
from lab.data import DataError, datasets, load, modifiers
from lab.data.splits import divide
from lab.events import Finished, Step
from lab.first import place_of, trained_first
from lab.plans import Plan
from lab.recipe import RecipeError
from lab.store import RunError

pytestmark = pytest.mark.usefixtures("one_thread")

HALF = FEW.changed(modify="classes", epochs=1)
OTHER = FEW.changed(modify=[{"name": "classes", "first": 5, "last": 9}, {"name": "subset", "per_class": 5}])
TAKING = OTHER.changed(source={"name": "run", "folder": "half"}, transfer="whole")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def plan_of(**changes):
    return Plan(first={"half": HALF}, arms={"scratch": OTHER, "whole": TAKING}, **{**QUICK, "tune": False, **changes})


def test_an_arm_finds_the_run_by_its_name_and_equal_recipes_have_one_folder():
    plan = plan_of()
    assert plan.arms["whole"].source.folder == f"runs/first-{HALF.id}"
    assert plan.arms["scratch"] == OTHER
    assert Plan.model_validate_json(plan.model_dump_json()) == plan
    assert place_of(HALF.changed()) == place_of(HALF)


def test_it_is_trained_once_and_its_weights_are_where_the_arms_start():
    heard = []
    comparison = Comparison(plan_of(), device="cpu")
    comparison.told = lambda recipe, event: heard.append((recipe.id, type(event)))
    comparison.run()
    assert heard.count((HALF.id, Finished)) == 1
    run = lab.open_run(place_of(HALF))
    start = lab.training(comparison.arms["whole"], device="cpu").model.state_dict()
    assert torch.equal(start["1.weight"], run.weights["1.weight"])
    heard.clear()
    again = Comparison(plan_of(), device="cpu")
    again.told = comparison.told
    assert again.run().scores("given") == comparison.scores("given")
    assert HALF.id not in {recipe for recipe, _ in heard}


def test_budgets_that_are_measured_have_it_at_once():
    assert Comparison(plan_of(budget="flops"), device="cpu").arms["whole"].epochs == OTHER.epochs


def test_what_was_left_is_gone_on_with_to_the_same_bits():
    whole = lab.train(HALF, progress=False, device="cpu")

    def leave(_, event):
        if isinstance(event, Step) and event.step == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained_first(HALF, leave, device="cpu")
    assert lab.open_run(place_of(HALF)).status == "stopped"
    steps = []
    trained_first(HALF, lambda _, event: steps.append(event), device="cpu")
    assert next(event.step for event in steps if isinstance(event, Step)) == 6
    found = lab.open_run(place_of(HALF)).weights
    assert all(torch.equal(tensor, found[name]) for name, tensor in whole.weights.items())


def test_a_run_that_failed_gives_no_weights():
    wild = HALF.changed(optimizer={"name": "sgd", "lr": 1e9})
    with pytest.raises(RunError, match=r"^The run in runs/first-.*, whose weights are to be taken over, is diverged: "):
        trained_first(wild, lambda *_: None, device="cpu")


@pytest.mark.parametrize(
    ("key", "before", "said"),
    [
        ("lab", "0.0.1", "by another version of the lab"),
        ("commit", "0123456789ab", "by another commit of the lab"),
        ("custom_options", {"optimizer.mine": "def mine(): ..."}, "with other options of your own"),
        ("images", {"count": 3, "statistics": [[0.5], [0.1]]}, "on other images"),
    ],
)
def test_what_was_made_otherwise_is_not_taken_for_what_the_recipe_gives_now(key, before, said):
    trained_first(HALF, lambda *_: None, device="cpu")
    kept = place_of(HALF) / "run.json"
    facts = json.loads(kept.read_text())
    facts["provenance"][key] = before
    kept.write_text(json.dumps(facts))
    with pytest.raises(RunError, match=rf"^The run in runs/first-.*, was made {said}: delete it, so that it is"):
        trained_first(HALF, lambda *_: None, device="cpu")


def test_a_data_set_of_ones_own_that_has_changed_is_seen_even_where_its_text_is_the_same(own_data_set):
    recipe = own_data_set(255)
    trained_first(recipe, lambda *_: None, device="cpu")
    heard = []
    trained_first(recipe, lambda _, event: heard.append(event), device="cpu")
    assert not heard  # as long as it is the same
    with pytest.raises(RunError, match=r"was made on other images: delete it"):
        trained_first(own_data_set(10), lambda *_: None, device="cpu")


@pytest.fixture
def own_data_set(own_options):
    """A function that defines a data set anew, with a point of some brightness in the picture."""

    def define(brightness):
        def mine():
            """Noise with a point in it. Source: none."""
            images, labels = torch.zeros(60, 1, 6, 6, dtype=torch.uint8), torch.arange(60) % 2
            images[torch.arange(60), 0, labels] = brightness
            return divide(images, labels, ("a", "b"))

        datasets.add(mine)
        return lab.Recipe(data="mine", epochs=1)

    return define


def test_none_follows_another():
    first = {"half": HALF, "next": TAKING}
    arms = {"a": OTHER, "b": OTHER.changed(source={"name": "run", "folder": "next"}, transfer="whole")}
    with pytest.raises(RecipeError, match="but none may follow another"):
        Plan(first=first, arms=arms)


def test_a_written_plan_says_what_is_trained_first_beside_its_base(tmp_path):
    (tmp_path / "plan.yaml").write_text(
        "base: {epochs: 2, model: {name: mlp, width: 16}}\nfirst: {half: {modify: classes}}\n"
        "arms: {a: , b: {source: {name: run, folder: half}, transfer: whole}}"
    )
    plan = Plan.load(tmp_path / "plan.yaml")
    assert plan.first == {"half": lab.Recipe(epochs=2, model={"name": "mlp", "width": 16}, modify="classes")}
    assert plan.arms["b"].source.folder == str(place_of(plan.first["half"]))
    (tmp_path / "plan.yaml").write_text("first: [half]\narms: {a: , b: }")
    with pytest.raises(RecipeError, match=r"`first` must be a mapping from a name to what this recipe changes"):
        Plan.load(tmp_path / "plan.yaml")


# -- classes ------------------------------------------------------------------------------------------------


def test_classes_keeps_some_in_all_splits_and_counts_them_from_0():
    whole = load(datasets.parse("digits"))
    some = modifiers.build(modifiers.parse({"name": "classes", "first": 3, "last": 5}), whole)
    assert some.classes == ("3", "4", "5")
    for part, of in ((some.train, whole.train), (some.validation, whole.validation), (some.test, whole.test)):
        kept = (of.labels >= 3) & (of.labels <= 5)
        assert torch.equal(part.labels, of.labels[kept] - 3)
        assert torch.equal(part.images, of.images[kept])


@pytest.mark.parametrize(("first", "last"), [(5, 5), (6, 5), (5, 10)])
def test_classes_that_are_not_there_are_refused(first, last):
    with pytest.raises(DataError, match=f"classes keeps {first} to {last}, but there are 10 classes here"):
        load(datasets.parse("digits"), [modifiers.parse({"name": "classes", "first": first, "last": last})])


def test_arms_of_other_classes_are_no_pairs():
    with pytest.raises(RecipeError, match="The arms must keep the same classes"):
        Plan(arms={"a": HALF, "b": OTHER})
