"""Hypothesis strategies read off the catalogues: a new option is drawn without a line here."""

from typing import Literal, get_origin

from annotated_types import Ge, Gt, Le, Lt
from hypothesis import settings
from hypothesis import strategies as st

from lab.augmentations import augmentations, learners, mixes
from lab.catalogue import RecipeError, knob_of, options_of
from lab.models import OWN_ACTIVATION
from lab.objectives import with_views, without_labels
from lab.recipe import CATALOGUES, Recipe
from lab.transfer import cached, thawing

LEARNING = {"generated": {"steps": st.integers(1, 20), "width": st.integers(4, 16)}}  # else it takes the longest by far

FITTING = {"masked_autoencoder": {"patch": st.integers(1, 7)}}  # pixels of a digit of 8 x 8: more would hide all of it

OPTIONS = [(kind, name) for kind, catalogue in CATALOGUES.items() for name in catalogue]
FEW_EPOCHS = st.integers(1, 3)


def stressed() -> bool:
    """Whether `make stress` runs; flags such as --hypothesis-verbosity add words to the profile's name."""
    return settings.get_current_profile_name().startswith("stress")


def bound(field, *marks):
    """The field's limit given by one of the marks, and whether the limit itself is left out."""
    found = [(mark, kind) for mark in field.metadata for kind in marks if isinstance(mark, kind)]
    if not found:
        return None, False
    mark, kind = found[0]
    return getattr(mark, kind.__name__.lower()), kind in (Gt, Lt)


def usual_range(field):
    """Where the slider moves, as far as that is valid; None without a slider."""
    knob = knob_of(field)
    return knob and (knob.low, knob.high)


def integers(field, *, usual):
    low, open_below = bound(field, Gt, Ge)
    high, open_above = bound(field, Lt, Le)
    if usual and (knob := usual_range(field)):
        return st.integers(int(knob[0]), int(knob[1]))
    return st.integers(
        None if low is None else int(low) + open_below,
        None if high is None else int(high) - open_above,
    )


def floats(field, *, usual):
    low, open_below = bound(field, Gt, Ge)
    high, open_above = bound(field, Lt, Le)
    if usual and (knob := usual_range(field)):
        low, high = map(float, knob)
        open_below = open_above = False
    return st.floats(
        None if low is None else float(low),
        None if high is None else float(high),
        exclude_min=open_below,
        exclude_max=open_above,
        allow_nan=False,
        allow_infinity=False,
    )


def values(field, *, usual=False):
    """One setting: anything valid, or only what its slider reaches."""
    if get_origin(field.annotation) is Literal:
        return st.sampled_from(options_of(field))
    if field.annotation is bool:
        return st.booleans()
    if field.annotation is int:
        return integers(field, usual=usual)
    if field.annotation is float:
        return floats(field, usual=usual)
    assert field.annotation is str, f"no strategy for a setting of type {field.annotation}"
    return st.just(field.default) if usual else st.text()


def keeps_the_rules(catalogue, spec):
    """Whether two settings at once are allowed; a value that is refused alone is our mistake."""
    try:
        catalogue.parse(spec)
    except RecipeError as error:
        if "but must be" in str(error):
            raise
        return False
    return True


def specs(kind, name, *, usual=False):
    """A mapping that stands for one option of a catalogue, with all of its settings drawn."""
    catalogue = CATALOGUES[kind]
    fields = {key: values(field, usual=usual) for key, field in catalogue[name].model_fields.items() if key != "name"}
    fields |= {**LEARNING, **FITTING}.get(name, {}) if usual else {}
    drawn = st.fixed_dictionaries({"name": st.just(name), **fields})
    return drawn.filter(lambda spec: keeps_the_rules(catalogue, spec))


def any_spec(kind, *, usual=False):
    return st.one_of([specs(kind, name, usual=usual) for name in CATALOGUES[kind]])


def entries(key, field, *, usual):
    """What may stand at one key of a recipe: an option, a list of options, or a value."""
    if key not in CATALOGUES:
        return values(field, usual=usual)
    single = any_spec(key, usual=usual)
    return st.lists(single, max_size=2, unique_by=lambda spec: spec["name"]) if field.default == () else single


def recipes(*, usual=False, **fixed):
    """Whole recipes on digits, without a source, with few epochs; `fixed` holds a strategy for a key instead."""
    chosen = {"data": st.just("digits"), "source": st.just("nothing"), "epochs": FEW_EPOCHS, **fixed}
    keys = {
        key: chosen[key] if key in chosen else entries(key, field, usual=usual)
        for key, field in Recipe.model_fields.items()
    }
    whole = st.fixed_dictionaries(keys).filter(leaves_something_to_learn).filter(augments_without_labels)
    whole = whole.filter(starts_from_something)
    return whole.map(lambda spec: Recipe(**awake_activation(spec)))


def leaves_something_to_learn(spec):
    """Whether steps are left between the ramps, and layers that may move: a recipe refuses it otherwise."""
    rests = name_of(spec["objective"]) in without_labels and name_of(spec["transfer"]) in (*cached, *thawing)
    return 1 - spec["warmup"] - spec["cooldown"] > 0 and not rests


def augments_without_labels(spec):
    """Whether no augmentation needs labels, or other images, that the objective has not: a recipe refuses it."""
    objective, names = name_of(spec["objective"]), [name_of(entry) for entry in spec["augment"]]
    taught = objective in (*with_views, *without_labels) and any(name in learners for name in names)
    mixed = objective in with_views and any(mixes(augmentations.functions[name]) for name in names)
    return not taught and not mixed


def starts_from_something(spec):
    """Whether there is a source where weights are to start from one: a recipe refuses it otherwise."""
    sourced = name_of(spec["source"]) != "nothing" and name_of(spec["transfer"]) != "scratch"
    return sourced or name_of(spec["init"]) != "pretrained"


def name_of(spec):
    """Of an option, given by its name alone or with its settings."""
    return spec if isinstance(spec, str) else spec["name"]


def awake_activation(spec):
    """Without an activation for networks that bring their own or have nothing to activate: a recipe refuses it."""
    model = {"name": spec["model"]} if isinstance(spec["model"], str) else spec["model"]
    rests = model["name"] in OWN_ACTIVATION or (model["name"] == "mlp" and model.get("depth") == 0)
    return {key: value for key, value in spec.items() if key != "activation" or not rests}


def small_recipes(**fixed):
    """Recipes that train in a few milliseconds, with every choice within its slider."""
    models = [
        {"name": "mlp", "width": 8},
        {"name": "cnn", "width": 2, "hidden": 8},
        {"name": "rnn", "width": 4},
        {"name": "transformer", "width": 8, "depth": 1},
    ]
    few = [{"name": "subset", "per_class": 3}]
    return recipes(
        usual=True,
        **{"model": st.sampled_from(models), "modify": st.just(few), "batch_size": st.integers(4, 30), **fixed},
    )
