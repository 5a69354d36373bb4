"""Plans: what a person writes becomes arms or words, and every arm gets as much as the first."""

from __future__ import annotations

import json
from collections.abc import Generator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from small_runs import loop
from wording import KEYS, NOT_EPOCHS, NOT_LR, Act, bad, complaint, options

import lab
from lab import plans
from lab.augmentations import Lesson, learners, learning
from lab.augmentations.generated import teach_decoder
from lab.catalogue import bounds_of
from lab.claims import Claim
from lab.costs import costs
from lab.plans import Plan, equal_budget, planned_runs, seconds_per_epoch
from lab.reading import parse_overrides
from lab.recipe import Recipe, RecipeError
from lab.sweeps.plan import Sweep
from lab.training import Training

RECIPES = Path(__file__).parents[1] / "recipes"
TWO = "arms: {sgd: , adam: {optimizer: adam}}\n"
SETTINGS = ", ".join(Plan.model_fields)
NEEDS_ARMS = "PLACE/plan.yaml: A comparison is a mapping with `arms`: a name, then what this arm changes."
BASE_IS = "PLACE/plan.yaml: base must be a mapping such as `optimizer: sgd`, but is"
NO_YAML = "Cannot read PLACE/plan.yaml as YAML:"

pytestmark = pytest.mark.usefixtures("one_thread")


def load(text: str, *changes: str) -> Act:
    """Write a comparison into the folder at hand and read it, with changes as the command takes them."""

    def act(place: Path) -> Plan:
        (place / "plan.yaml").write_text(text)
        return Plan.load(place / "plan.yaml", parse_overrides(changes))

    return act


def loaded(text: str, place: Path, *changes: str) -> Plan:
    return load(text, *changes)(place)


# -- what a person writes -----------------------------------------------------------------------------------


def test_arms_are_the_base_with_what_each_changes(tmp_path: Path) -> None:
    plan = loaded(
        """
        base: {epochs: 7, optimizer: {name: sgd, lr: 3e-2}, model.width: 32}
        arms:
          plain:
          momentum: {optimizer.momentum: 0.9, epochs: 8}
          adam: {optimizer: adam, model: {name: mlp, depth: 3}}
        seeds: 5
        """,
        tmp_path,
    )
    base = Recipe(epochs=7, optimizer={"name": "sgd", "lr": 0.03}, model={"name": "mlp", "width": 32})
    assert plan.arms == {
        "plain": base,
        "momentum": base.changed(**{"optimizer.momentum": 0.9, "epochs": 8}),
        "adam": base.changed(optimizer="adam", model={"name": "mlp", "depth": 3}),
    }
    assert plan.seeds == 5


def test_what_is_not_said_has_its_default(tmp_path: Path) -> None:
    plan = loaded(TWO, tmp_path)
    assert plan == Plan(arms={"sgd": Recipe(), "adam": Recipe(optimizer="adam")})
    assert (plan.seeds, plan.budget, plan.tune, plan.trials, plan.tuning_seeds) == (8, "epochs", True, 9, 3)
    assert (plan.worth, plan.level, plan.stop_early) == (0.005, 0.95, False)


def test_names_of_arms_are_texts_in_the_order_written(tmp_path: Path) -> None:
    assert list(loaded("arms: {32: {batch_size: 32}, 8: {batch_size: 8}, on: }", tmp_path).arms) == ["32", "8", "True"]


def test_changes_go_to_the_settings_and_to_all_arms(tmp_path: Path) -> None:
    changes = ("seeds=4", "tune=false", "base.epochs=5", "base.optimizer.weight_decay=0.1")
    plan = loaded("base: {epochs: 9, batch_size: 8}\n" + TWO, tmp_path, *changes)
    assert (plan.seeds, plan.tune) == (4, False)
    base = Recipe(epochs=5, batch_size=8, optimizer={"name": "sgd", "weight_decay": 0.1})
    assert plan.arms == {"sgd": base, "adam": base.changed(optimizer="adam")}


def test_a_base_may_come_from_changes_alone(tmp_path: Path) -> None:
    assert {arm.epochs for arm in loaded(TWO, tmp_path, "base.epochs=5").arms.values()} == {5}


def test_what_an_arm_says_itself_wins_over_changes_to_all(tmp_path: Path) -> None:
    plan = loaded("arms: {short: {epochs: 1}, long: }", tmp_path, "base.epochs=5")
    assert {name: arm.epochs for name, arm in plan.arms.items()} == {"short": 1, "long": 5}


def test_arms_may_differ_in_what_they_make_of_the_same_data() -> None:
    assert Plan(arms={"a": Recipe(), "b": Recipe(augment=["flip"], modify=[{"name": "subset", "per_class": 10}])})


def test_a_knob_that_one_arm_has_is_enough() -> None:
    arms = {"adam": Recipe(optimizer="adam"), "sgd": Recipe()}
    assert Plan(arms=arms, knobs=("optimizer.beta2",)).knobs == ("optimizer.beta2",)


def test_a_plan_survives_its_json() -> None:
    plan = Plan(arms={"a": Recipe(), "b": Recipe(augment=["flip"])}, budget="flops", worth=0.01)
    assert Plan(**json.loads(plan.model_dump_json())) == plan


WRITTEN = [
    bad("empty", load(""), NEEDS_ARMS),
    bad("a list", load("- sgd\n- adam"), NEEDS_ARMS),
    bad("a word", load("sgd"), NEEDS_ARMS),
    bad("no arms", load("base: {epochs: 3}\nseeds: 4"), NEEDS_ARMS),
    bad("arms nothing", load("arms:"), NEEDS_ARMS),
    bad("arms a list", load("arms: [sgd, adam]"), NEEDS_ARMS),
    bad("arms empty", load("arms: {}"), "PLACE/plan.yaml: A comparison needs at least two arms."),
    bad("one arm", load("arms: {sgd: }"), "PLACE/plan.yaml: A comparison needs at least two arms."),
    bad(
        "an arm a word",
        load("arms: {sgd: sgd, adam: }"),
        "PLACE/plan.yaml: sgd must be a mapping such as `optimizer: sgd`, but is 'sgd'.",
    ),
    bad(
        "an arm a list",
        load("arms: {sgd: , adam: [adam]}"),
        "PLACE/plan.yaml: adam must be a mapping such as `optimizer: sgd`, but is ['adam'].",
    ),
    bad("bad value in an arm", load("arms: {a: , b: {epochs: 0}}"), f"PLACE/plan.yaml: b: epochs is 0, {NOT_EPOCHS}"),
    bad(
        "bad value in the base", load("base: {epochs: 0}\n" + TWO), f"PLACE/plan.yaml: base: epochs is 0, {NOT_EPOCHS}"
    ),
    bad(
        "bad setting in an arm",
        load("arms: {a: {optimizer: {name: sgd, lr: 0}}, b: }"),
        f"PLACE/plan.yaml: a: optimizer sgd: lr is 0, {NOT_LR}",
    ),
    bad(
        "unknown key in an arm",
        load("arms: {a: , b: {optimiser: sgd}}"),
        f"PLACE/plan.yaml: b: Unknown recipe key 'optimiser'. Did you mean 'optimizer'? Expected one of: {KEYS}.",
    ),
    bad(
        "a setting for a key in an arm",
        load("arms: {a: {lr: 0.3}, b: }"),
        "PLACE/plan.yaml: a: Unknown recipe key 'lr'. It is a setting of optimizer: write optimizer.lr. "
        f"Expected one of: {KEYS}.",
    ),
    bad(
        "unknown option in an arm",
        load("arms: {a: {optimizer: sgdd}, b: }"),
        f"PLACE/plan.yaml: a: Unknown optimizer 'sgdd'. Did you mean 'sgd'? Expected one of: {options('optimizer')}.",
    ),
    bad(
        "seeds too few",
        load(TWO + "seeds: 1"),
        "PLACE/plan.yaml: seeds is 1, but must be a whole number at least 2 and at most 1000.",
    ),
    bad(
        "seeds too many",
        load(TWO, "seeds=1001"),
        "PLACE/plan.yaml: seeds is 1001, but must be a whole number at least 2 and at most 1000.",
    ),
    bad("seeds a switch", load(TWO + "seeds: yes"), "PLACE/plan.yaml: seeds is True, but must be a number."),
    bad(
        "seeds nothing",
        load(TWO, "seeds="),
        "PLACE/plan.yaml: seeds is None, but must be a whole number at least 2 and at most 1000.",
    ),
    bad(
        "trials",
        load(TWO + "trials: 2"),
        f"PLACE/plan.yaml: trials is 2, but must be a whole number {bounds_of(Plan.model_fields['trials'])}.",
    ),
    bad(
        "tuning seeds",
        load(TWO + "tuning_seeds: 0"),
        "PLACE/plan.yaml: tuning_seeds is 0, but must be a whole number at least 1 and at most 100.",
    ),
    bad(
        "budget",
        load(TWO + "budget: epoch"),
        "PLACE/plan.yaml: budget is 'epoch', but must be one of: epochs, steps, flops, seconds, target.",
    ),
    bad("tune", load(TWO + "tune: maybe"), "PLACE/plan.yaml: tune is 'maybe', but must be true or false."),
    bad(
        "worth in points",
        load(TWO + "worth: 1"),
        "PLACE/plan.yaml: worth is 1, but must be a number greater than 0 and less than 1.",
    ),
    bad(
        "level in percent",
        load(TWO + "level: 95"),
        "PLACE/plan.yaml: level is 95, but must be a number greater than 0.5 and less than 1.",
    ),
    bad(
        "every fault at once",
        load(TWO + "seeds: many\nworth: 0\nlevel: .nan"),
        "PLACE/plan.yaml: seeds is 'many', but must be a whole number at least 2 and at most 1000.",
        "worth is 0, but must be a number greater than 0 and less than 1.",
        "level is nan, but must be a number greater than 0.5 and less than 1.",
    ),
    bad(
        "number as a key",
        load("arms: {a: {3: 1}, b: }"),
        f"PLACE/plan.yaml: a: Unknown recipe key '3'. Expected one of: {KEYS}.",
    ),
    bad(
        "no such date",
        load("arms: {a: {data: 2024-13-45}, b: }"),
        f"PLACE/plan.yaml: a: Unknown data set '2024-13-45'. Expected one of: {options('data')}.",
    ),
    bad(
        "a date",
        load("arms: {a: {data: 2024-10-05}, b: }"),
        f"PLACE/plan.yaml: a: Unknown data set '2024-10-05'. Expected one of: {options('data')}.",
    ),
    bad("an arm twice", load("arms: {a: , a: {epochs: 3}, b: }"), f"{NO_YAML} written twice: a"),
    bad("nested without end", load("arms: " + "[" * 500), f"{NO_YAML} it is nested too deeply"),
    bad(
        "an arm zero",
        load("arms: {a: 0, b: }"),
        "PLACE/plan.yaml: a must be a mapping such as `optimizer: sgd`, but is 0.",
    ),
    bad(
        "the whole base by a change",
        load(TWO, "base={epochs: 0}"),
        f"PLACE/plan.yaml: base: epochs is 0, {NOT_EPOCHS}",
    ),
    bad("base a word", load("base: sgd\n" + TWO), f"{BASE_IS} 'sgd'."),
    bad("base a list", load("base: [sgd]\n" + TWO, "base.epochs=5"), f"{BASE_IS} ['sgd']."),
    bad(
        "unknown key",
        load(TWO + "seedz: 3"),
        f"PLACE/plan.yaml: Unknown plan key 'seedz'. Did you mean 'seeds'? Expected one of: {SETTINGS}.",
    ),
    bad(
        "a recipe's key",
        load(TWO, "epochs=3"),
        "PLACE/plan.yaml: 'epochs' is a key of recipes: write base.epochs, for all arms.",
    ),
    bad(
        "a recipe's key in the file",
        load(TWO + "optimizer: adam"),
        "PLACE/plan.yaml: 'optimizer' is a key of recipes: write base.optimizer, for all arms.",
    ),
    bad(
        "no key of anything",
        load(TWO, "colour=3"),
        f"PLACE/plan.yaml: Unknown plan key 'colour'. Expected one of: {SETTINGS}.",
    ),
    bad(
        "different data",
        load("arms: {a: , b: {data: {name: folder, path: pictures}}}"),
        "PLACE/plan.yaml: The arms must have the same data: accuracies on different images are no pairs.",
    ),
    bad(
        "different settings of data",
        load("base: {data: {name: folder, path: pictures}}\narms: {a: , b: {data.path: drawings}}"),
        "PLACE/plan.yaml: The arms must have the same data: accuracies on different images are no pairs.",
    ),
    bad(
        "an arm that learns no classes",
        load("base: {objective: multi_task}\narms: {all: , turned: {objective.class_weight: 0}}"),
        "PLACE/plan.yaml: turned: its objective's class_weight is 0, so it learns no classes, and arms are judged by "
        "them. Set objective.class_weight above 0.",
    ),
    bad(
        "a knob of no arm",
        load(TWO + "knobs: [optimizer.momentun]"),
        "PLACE/plan.yaml: optimizer.momentun cannot be tuned: no arm has it. Did you mean 'optimizer.momentum'?",
    ),
    bad("bad change to all", load(TWO, "base.epochs=0"), f"PLACE/plan.yaml: base: epochs is 0, {NOT_EPOCHS}"),
    bad(
        "unknown change to all",
        load(TWO, "base.lr=1"),
        "PLACE/plan.yaml: base: Unknown recipe key 'lr'. It is a setting of optimizer: write optimizer.lr. "
        f"Expected one of: {KEYS}.",
    ),
    bad("arms by a change", load(TWO, "arms=3"), NEEDS_ARMS),
    bad(
        "not YAML",
        load("arms: {sgd"),
        f'{NO_YAML} while parsing a flow mapping in "<unicode string>", line 1, column 7: arms: {{sgd ^ '
        "expected ',' or '}', but got '<stream end>' in \"<unicode string>\", line 1, column 11: arms: {sgd ^",
    ),
    bad(
        "no file",
        lambda place: Plan.load(place / "none.yaml"),
        "Cannot read the comparison PLACE/none.yaml: No such file or directory.",
    ),
    bad("folder as file", Plan.load, "Cannot read the comparison PLACE: Is a directory."),
    bad(
        "one arm in Python",
        lambda _: Plan(arms={"a": Recipe()}),
        "A comparison needs at least two arms.",
    ),
]


@pytest.mark.parametrize(("act", "said"), WRITTEN)
def test_a_bad_plan_is_answered_in_words(act: Act, said: str, tmp_path: Path) -> None:
    assert complaint(act, tmp_path, RecipeError) == said


def test_binary_files_are_said_not_to_be_text(tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").write_bytes(b"\xff\xfe\x00")
    for load_file, what in ((Plan.load, "comparison"), (Claim.load, "claim")):
        said = complaint(lambda place, load_file=load_file: load_file(place / "plan.yaml"), tmp_path, RecipeError)
        assert said == f"Cannot read the {what} PLACE/plan.yaml: it is not UTF-8 text."


SHIPPED = sorted(RECIPES.rglob("*.yaml"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.relative_to(RECIPES)))
def test_every_file_under_recipes_is_a_recipe_a_comparison_a_sweep_or_a_claim(path: Path) -> None:
    spec = yaml.safe_load(path.read_text())
    if "claim" in spec:
        assert path.parent.name == "claims"
        assert all(planned_runs(plan) for plan in Claim.load(path).plans.values())
    elif "arms" in spec:
        assert planned_runs(Plan.load(path)) > 0
    elif path.parent.name == "sweeps":
        assert Sweep.load(path).points
    else:
        assert Recipe.load(path)


def test_there_are_comparisons_and_claims_under_recipes() -> None:
    keys = [set(yaml.safe_load(path.read_text())) for path in SHIPPED]
    assert any("arms" in found for found in keys)
    assert sum("claim" in found for found in keys) >= 3


# -- as much for every arm ----------------------------------------------------------------------------------

TRAINING_IMAGES = 1259
SMALL = Recipe(modify=[{"name": "subset", "per_class": 10}], model={"name": "mlp", "width": 8}, batch_size=25)


def steps_per_epoch(recipe: Recipe) -> int:
    return -(-TRAINING_IMAGES // recipe.batch_size)


def budget(name: str, recipes: Sequence[Recipe]) -> list[Recipe]:
    plan = Plan(arms={str(index): recipe for index, recipe in enumerate(recipes)}, budget=name)  # pyright: ignore[reportArgumentType]
    equal, _ = equal_budget(plan, device="cpu")
    assert list(equal) == list(plan.arms)
    assert [arm.changed(epochs=1) for arm in equal.values()] == [arm.changed(epochs=1) for arm in recipes]
    return list(equal.values())


def test_equal_epochs_are_those_of_the_first_arm() -> None:
    assert [arm.epochs for arm in budget("epochs", [Recipe(epochs=3), Recipe(epochs=9), Recipe(epochs=1)])] == [3] * 3


batch_sizes = st.lists(st.integers(1, 2000), min_size=2, max_size=4)


@settings(deadline=None, max_examples=25)
@given(batch_sizes, st.integers(1, 40))
@example([16, 1200], 20)
@example([1200, 16], 1)
def test_equal_steps_are_equal_within_an_epoch(sizes: list[int], epochs: int) -> None:
    first, *others = budget("steps", [Recipe(batch_size=size, epochs=epochs) for size in sizes])
    wanted = epochs * steps_per_epoch(first)
    assert first.epochs == epochs
    for arm in others:
        steps = arm.epochs * steps_per_epoch(arm)
        assert abs(steps - wanted) <= steps_per_epoch(arm) / 2 or (arm.epochs == 1 and steps > wanted)


def flops_of_epoch(recipe: Recipe) -> int:
    """Forward and twice that backward, but for the images' own gradient: two operations per weight and image."""
    depth, width = recipe.model.model_dump()["depth"], recipe.model.model_dump()["width"]
    sizes = [64, *[width] * depth, 10]
    return 2 * (3 * sum(a * b for a, b in pairwise(sizes)) - 64 * width) * len(lab.load(recipe.data).train)


mlps = st.builds(
    lambda width, depth, size: Recipe(model={"name": "mlp", "width": width, "depth": depth}, batch_size=size),
    st.integers(1, 128),
    st.integers(1, 4),
    st.sampled_from([16, 64, 500]),
)


@settings(deadline=None, max_examples=25)
@given(st.lists(mlps, min_size=2, max_size=3), st.integers(1, 40))
def test_equal_flops_are_equal_within_an_epoch(recipes: list[Recipe], epochs: int) -> None:
    first, *others = budget("flops", [recipe.changed(epochs=epochs) for recipe in recipes])
    wanted = epochs * flops_of_epoch(first)
    assert first.epochs == epochs
    for arm in others:
        price = flops_of_epoch(arm)
        spent = arm.epochs * price
        assert abs(spent - wanted) <= 0.501 * price or (arm.epochs == 1 and spent > wanted)


def test_equal_seconds_follow_from_what_an_epoch_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    prices = {"0": 2.0, "1": 0.5, "2": 3.0, "3": 1000.0}
    monkeypatch.setattr(plans, "seconds_per_epoch", lambda _, **__: prices)  # pyright: ignore[reportUnknownLambdaType]
    arms = budget("seconds", [SMALL.changed(epochs=10, label_smoothing=index / 10) for index in range(4)])
    assert [arm.epochs for arm in arms] == [10, 40, 7, 1]


@pytest.mark.parametrize(("price", "uneven"), [(2.0, 0), (0.5, 0), (3.0, 0.05), (1.9, 0.045), (1000.0, 49)])
def test_how_uneven_whole_epochs_leave_it_is_known(
    price: float, uneven: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    prices = {"first": 2.0, "other": price}  # 20 seconds each; as near as whole epochs of the other come to that
    monkeypatch.setattr(plans, "seconds_per_epoch", lambda *_, **__: prices)  # pyright: ignore[reportUnknownLambdaType]
    plan = Plan(arms={"first": SMALL.changed(epochs=10), "other": SMALL.changed(label_smoothing=0.1)}, budget="seconds")
    assert equal_budget(plan)[1] == pytest.approx(uneven)


TAUGHT = {"name": "generated", "latent": 3, "width": 8, "steps": 100}


def test_equal_flops_count_what_augmentations_learn() -> None:
    learning = costs(SMALL.changed(augment=[TAUGHT])).learning_flops
    price = costs(SMALL).flops_per_image * 100
    plain, taught = budget("flops", [SMALL.changed(epochs=500), SMALL.changed(augment=[TAUGHT])])
    assert plain.epochs == 500
    assert taught.epochs == round(500 - learning / price) < 500
    taught, plain = budget("flops", [taught.changed(epochs=7), SMALL])
    assert plain.epochs == round(7 + learning / price) > 7


def test_equal_seconds_count_what_augmentations_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    prices = {"0": 2.0, "1": 2.0}
    monkeypatch.setattr(plans, "seconds_per_epoch", lambda _, **__: prices)  # pyright: ignore[reportUnknownLambdaType]
    monkeypatch.setattr(Training, "lessons", {"generated": Lesson(None, 6.0)})
    assert [arm.epochs for arm in budget("seconds", [SMALL.changed(epochs=10), SMALL.changed(augment=[TAUGHT])])] == [
        10,
        7,
    ]


def test_a_budget_of_a_target_gives_all_arms_the_epochs_of_the_first() -> None:
    arms = {"first": SMALL.changed(epochs=3), "other": SMALL.changed(epochs=9)}
    equal, uneven = equal_budget(Plan(arms=arms, budget="target", target=0.9))
    assert ([arm.epochs for arm in equal.values()], uneven) == ([3, 3], 0.0)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """A clock that stands still but for steps: each takes as many seconds as its batch size has here."""
    took, now, step = dict[str, float](), [0.0], Training._step

    def timed(session: Training, images: torch.Tensor, labels: torch.Tensor) -> None:
        now[0] += took[str(session.recipe.batch_size)]
        step(session, images, labels)

    monkeypatch.setattr(loop.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(Training, "_step", timed)
    return took


def test_seconds_of_an_epoch_are_its_steps_times_what_one_takes(clock: dict[str, float]) -> None:
    clock |= {"25": 0.02, "10": 0.03}
    arms = {size: SMALL.changed(batch_size=int(size)) for size in clock}
    assert seconds_per_epoch(arms, device="cpu") == pytest.approx({"25": 4 * 0.02, "10": 10 * 0.03})


def test_to_learn_first_is_no_step(clock: dict[str, float], monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it takes longer than the moment for which an arm is measured."""
    clock |= {"25": 0.02}
    late, of_steps = [0.0], loop.time.perf_counter

    def slow(*given: Any, latent: int, width: int, steps: int) -> Generator[None, None, Any]:
        late[0] += 1
        yield
        return (yield from teach_decoder(*given, latent=latent, width=width, steps=steps))

    monkeypatch.setattr(loop.time, "perf_counter", lambda: of_steps() + late[0])
    monkeypatch.setattr(learning, "_kept", {})
    monkeypatch.setitem(learners, "generated", slow)
    arms = {"taught": SMALL.changed(augment=[TAUGHT])}
    assert seconds_per_epoch(arms, device="cpu") == pytest.approx({"taught": 4 * 0.02})
    assert late[0] > 0


def test_the_arms_take_turns_and_the_first_round_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    turns: list[str] = []
    seconds = {"slow start": iter([9.0, 0.1, 0.3, 0.2]), "other": iter([0.5, 0.4, 0.4, 0.4])}

    def measured(session: Training) -> float:
        turns.append("other" if session.recipe.batch_size == 10 else "slow start")
        return next(seconds[turns[-1]])

    monkeypatch.setattr(plans, "seconds_per_step", measured)
    arms = {"slow start": SMALL, "other": SMALL.changed(batch_size=10)}
    assert seconds_per_epoch(arms, device="cpu") == pytest.approx({"slow start": 4 * 0.2, "other": 10 * 0.4})
    assert turns == ["slow start", "other"] * 4


@pytest.mark.parametrize("epochs", [1, 2])
def test_short_arms_get_equal_seconds_too(epochs: int, clock: dict[str, float]) -> None:
    clock |= {"25": 0.03, "10": 0.012}  # an epoch takes 0.12 seconds with both; a measurement 0.2
    arms = budget("seconds", [SMALL.changed(epochs=epochs), SMALL.changed(batch_size=10)])
    assert [arm.epochs for arm in arms] == [epochs, epochs]


def test_arms_that_diverge_at_the_rate_given_get_equal_seconds_too(clock: dict[str, float]) -> None:
    clock |= {"25": 0.03, "10": 0.012}
    huge = SMALL.changed(batch_size=10, **{"optimizer.lr": 1e200})
    arms = budget("seconds", [SMALL.changed(epochs=500), huge.changed(epochs=500)])
    assert [arm.epochs for arm in arms] == [500, 500]


@pytest.mark.parametrize(
    ("plan", "runs"),
    [
        ({"seeds": 8}, 2 * (8 + 8 + 9 + 3 * 2)),
        ({"seeds": 8, "trials": 10, "tuning_seeds": 1}, 2 * (8 + 8 + 10)),
        ({"seeds": 2, "trials": 4, "tuning_seeds": 4}, 2 * (2 + 2 + 4 + 2 * 3)),
        ({"seeds": 5, "tune": False}, 2 * 5),
    ],
)
def test_planned_runs_are_searches_their_finals_and_paired_seeds(plan: dict[str, Any], runs: int) -> None:
    assert planned_runs(Plan(arms={"a": Recipe(), "b": Recipe(optimizer="adam")}, **plan)) == runs
