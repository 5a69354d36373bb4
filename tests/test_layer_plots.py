"""The picture of a network's layers has the parameters and shapes that the network has."""

import pytest
from small_runs import small_model

from lab.costs import Layer, costs
from lab.data import load
from lab.layer_plots import MOST_BARS, grouped, layers, parameters_by_layer
from lab.models import models
from lab.recipe import Recipe


def bars_of(recipe):
    (bars,) = parameters_by_layer(recipe).data
    return bars


@pytest.mark.parametrize("name", models)
def test_the_layers_are_those_that_costs_measures(name):
    recipe = Recipe(model=small_model(name))
    measured = [layer for layer in costs(recipe).layers if layer.parameters]
    assert layers(recipe, load(recipe.data)) == measured
    assert sum(bars_of(recipe).x) == sum(layer.parameters for layer in measured)


def test_a_network_that_must_draw_its_weights_to_be_made_is_drawn_too():
    recipe = Recipe(model={"name": "torchvision", "network": "regnet_y_400mf"})
    assert sum(bars_of(recipe).x) == costs(recipe).parameters


def test_layers_stand_in_the_order_they_run_in():
    """Where swin_t halves the image it has its norm run before the layer that is written above it."""
    recipe = Recipe(model={"name": "torchvision", "network": "swin_t"})
    found = [layer for layer in layers(recipe, load(recipe.data)) if layer.name.startswith("features.2")]
    assert [layer.kind for layer in found] == ["LayerNorm", "Linear"]
    assert found[-1].shape[-1] == 192


def test_a_bar_has_the_layers_parameters_and_the_shape_of_its_output():
    figure = parameters_by_layer(Recipe(model={"name": "cnn", "depth": 1, "width": 4, "hidden": 6, "norm": "layer"}))
    assert list(figure.data[0].x) == [36, 8, 16 * 4 * 6 + 6, 70]
    assert list(figure.layout.yaxis.ticktext) == ["Conv2d 4 x 8 x 8", "GroupNorm 4 x 8 x 8", "Linear 6", "Linear 10"]
    assert figure.layout.title.text == "504 parameters, by layer and output shape"
    assert figure.layout.yaxis.autorange == "reversed"  # the image's side is above


def test_a_layer_that_is_used_again_says_so():
    bars = bars_of(Recipe(model={"name": "transformer", "width": 8, "shared": True, "depth": 3}))
    assert list(bars.text)[2:4] == ["16 (used 3 times)", "72 (used 3 times)"]
    assert bars.customdata[2] == "3.layer.attention.0, LayerNorm (used 3 times)"


def rows(*names):
    return [Layer(name, "Linear", (number,), 10**number, 1) for number, name in enumerate(names)]


def test_few_layers_have_a_bar_each():
    few = rows("a.0", "a.1", "b")
    assert grouped(few) == few


def test_layers_of_a_block_share_a_bar_where_they_are_many():
    many = [Layer(f"{block}.{layer}", "Linear", (layer,), 2, 1) for block in range(8) for layer in range(4)]
    found = grouped(many)
    assert [row.name for row in found] == [f"{block}.0 to {block}.3" for block in range(8)]
    assert all((row.kind, row.shape, row.parameters) == ("4 layers", (3,), 8) for row in found)


@pytest.mark.parametrize(
    "names", [[str(n) for n in range(50)], [f"{n // 25}.{n}" for n in range(50)]], ids=["flat", "two"]
)
def test_neighbours_share_a_bar_where_no_block_tells_them_apart(names):
    many = [Layer(name, "Linear", (1,), 1, 1) for name in names]
    found = grouped(many)
    assert 6 <= len(found) <= MOST_BARS
    assert sum(row.parameters for row in found) == 50


def test_a_network_that_no_memory_holds_is_drawn_all_the_same():
    huge = Recipe(model={"name": "mlp", "width": 65536, "depth": 100})
    assert sum(bars_of(huge).x) == 64 * 65536 + 99 * 65536**2 + 100 * 65536 + 65536 * 10 + 10


def test_images_that_the_network_cannot_read_are_said():
    with pytest.raises(ValueError, match="cannot read images of 8 x 8 pixels"):
        parameters_by_layer(Recipe(model={"name": "torchvision", "network": "vgg11"}))
