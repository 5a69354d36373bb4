"""What saving is worth, told beside the same recipe without it."""

from __future__ import annotations

import pytest
from small_runs import SMALL

from lab.costs import costs, with_prefix
from lab.recipe import Recipe
from lab.savings import savings

DEEP = SMALL.changed(model={"name": "mlp", "depth": 8, "width": 16}, activation="tanh")


def test_a_recipe_that_saves_nothing_has_nothing_to_tell() -> None:
    assert savings(DEEP) == savings(DEEP.changed(gradient="sam")) == []


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"gradient": "recompute"}, "layers computed again"),
        ({"gradient": {"name": "in_parts", "images": 2}}, "batches in parts"),
        ({"precision": "bfloat16"}, "bfloat16"),
    ],
)
def test_each_way_of_saving_stands_beside_the_same_without_it(changes: dict[str, str], name: str) -> None:
    here, plain = costs(DEEP.changed(**changes)), costs(DEEP)
    (line,) = savings(DEEP.changed(**changes))
    memory = (with_prefix(found.activation_bytes) for found in (here, plain))
    assert line.startswith("{}: {}B per batch, not {}B".format(name, *memory))
    assert ("FLOP" in line) == (name == "layers computed again")


@pytest.mark.parametrize(
    ("changes", "saved"),
    [
        ({"gradient": "recompute"}, True),
        ({"gradient": "recompute", "model": {"name": "rnn", "width": 16}}, False),  # as much
        ({"gradient": "recompute", "model": {"name": "transformer", "width": 16}}, False),  # more
        ({"gradient": {"name": "in_parts", "images": SMALL.batch_size}}, False),
    ],
    ids=str,
)
def test_what_saves_nothing_says_so(changes: dict[str, str], saved: bool) -> None:
    (line,) = savings(DEEP.changed(**changes))
    assert ("B: it saves nothing here" in line) != saved


def test_several_are_told_one_by_one() -> None:
    both = DEEP.changed(gradient=["recompute", {"name": "in_parts", "images": 2}])
    assert [line.partition(":")[0] for line in savings(both)] == ["layers computed again", "batches in parts"]


def test_kept_features_are_computed_once_and_only_the_last_layer_in_each_epoch() -> None:
    recipe: Recipe = DEEP.changed(transfer="features")
    whole = 2 * (64 * 16 + 7 * 16 * 16 + 16 * 10)  # of an image forward
    last = 2 * 16 * 10
    images = 50 + 269  # to train on, and to validate by
    assert savings(recipe) == [
        f"features kept: {with_prefix(whole)}FLOP per image once and {with_prefix(2 * last)}FLOP in each epoch, not "
        f"{with_prefix(whole + last)}FLOP in each; {with_prefix(4 * 16 * images)}B of features"
    ]
    assert savings(recipe.changed(augment="flip")) == []
    for precision, size in (("float64", 8), ("bfloat16", 2)):
        assert savings(recipe.changed(precision=precision))[-1].endswith(
            f"; {with_prefix(size * 16 * images)}B of features"
        )
