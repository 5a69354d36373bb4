"""Random recipes, any model as small as it goes, and all else that sliders reach: the panel brings each to an end."""

from typing import get_args

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from small_panels import until
from small_runs import small_model
from strategies import recipes, stressed

import lab
from lab.events import Status
from lab.models import models
from lab.recipe import Recipe

ENDS = set(get_args(Status)) - {"stopped"}
MODELS = st.sampled_from([small_model(name) for name in models])
FEW_IMAGES = st.just([{"name": "subset", "per_class": 2}])
EXAMPLES = 1000 if stressed() else 5
without_shrinking = settings(max_examples=EXAMPLES, phases=[Phase.explicit, Phase.generate])  # it would take minutes
pytestmark = pytest.mark.stress


@pytest.fixture(scope="module")
def one_panel(one_thread):
    """A panel for all recipes: what one of them breaks, the next one finds broken."""
    made = lab.Panel(folder=None, device="cpu")
    yield made
    made.close()


def emptied(panel: lab.Panel) -> bool:
    """Asked again: a job may still end that has told its end."""
    panel.clear()
    return not panel.runs


@without_shrinking
@given(recipe=recipes(usual=True, model=MODELS, modify=FEW_IMAGES, epochs=st.just(1)))
def test_a_random_recipe_ends_in_a_status_and_the_panel_goes_on(one_panel: lab.Panel, recipe: Recipe) -> None:
    until(one_panel, lambda: emptied(one_panel))
    one_panel.recipe = recipe
    one_panel.start()
    until(one_panel, lambda: {run.status for run in one_panel.runs} & ENDS)
    (run,) = one_panel.runs
    assert "Traceback" not in run.detail, run.detail  # who failed says in a sentence why
