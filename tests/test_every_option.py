"""Every option of every catalogue survives YAML, a checkpoint in the middle, and the way into a script."""

from pathlib import Path

import pytest
from small_runs import SMALL, same_history, same_weights, small_model, trained
from test_export import run_all_alone
from test_export import trained as losses_and_weights

from lab.events import Step
from lab.option_tables import shipped
from lab.recipe import CATALOGUES, LISTS, Recipe
from lab.store import decode_state, encode_state
from lab.training import Training

FIELDS = [field for field in CATALOGUES if field != "data"]  # whose others are not on every machine
FEW = SMALL.changed(modify=[{"name": "subset", "per_class": 2}], epochs=2)  # three steps each
TWO_DOMAINS = {"modify": [*FEW.modify, "backgrounds"], "model": {"name": "mlp", "width": 8, "norm": "batch"}}
PARTS = 2  # in each, one process takes all scripts
every_field = pytest.mark.parametrize("field", FIELDS)


def recipes_of(field: str) -> dict[str, Recipe]:
    """One for each option; after the modifier that leaves few images, where it is a modifier itself."""
    subset = list(FEW.modify) if field == "modify" else []
    choices = {name: small_model(name) if field == "model" else name for name in shipped(field)}
    choices.pop("subset", None)
    choices.pop("pretrained", None)  # only with a source: see test_transfers
    base = FEW.changed(**TWO_DOMAINS) if field == "objective" else FEW
    return {
        name: base.changed(**{field: [*subset, choice] if field in LISTS else choice})
        for name, choice in choices.items()
    }


@every_field
def test_every_option_survives_yaml(field: str) -> None:
    for name, recipe in recipes_of(field).items():
        again = Recipe.from_yaml(recipe.to_yaml())
        assert (again, again.id) == (recipe, recipe.id), name


@every_field
def test_every_option_goes_on_from_the_middle_with_the_same_bits(field: str, tmp_path: Path) -> None:
    for name, recipe in recipes_of(field).items():
        whole, session, again = trained(recipe)[0], *(Training(recipe, device="cpu") for _ in range(2))
        next(event for event in session if isinstance(event, Step) and event.step == session.steps // 2)
        (tmp_path / name).write_bytes(encode_state(session.state()))
        again.restore(decode_state(tmp_path / name))
        list(again)
        assert same_history(again, whole), name
        assert same_weights(again, whole), name


@pytest.mark.parametrize("part", range(PARTS))
def test_every_option_is_in_the_script_bit_for_bit(part: int, tmp_path: Path) -> None:
    fields = [field for field in FIELDS if field not in ("model", "objective", "source", "transfer")]  # elsewhere
    recipes = {(field, name): recipe for field in fields[part::PARTS] for name, recipe in recipes_of(field).items()}
    found = dict(zip(recipes, run_all_alone(list(recipes.values()), tmp_path), strict=True))
    assert not [option for option, recipe in recipes.items() if found[option] != losses_and_weights(recipe)]
