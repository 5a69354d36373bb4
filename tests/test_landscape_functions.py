"""Runs share a picture where their loss is one function of the trained weights; where not, it is said why."""

from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
import torch
from small_runs import SMALL, small_model
from small_scenes import ORIGIN, bowl, path_of, surface_of

from lab.followed import follow
from lab.landscape import Live, Portrait
from lab.landscape.brief import brief_words
from lab.landscape.functions import Function, one, trained_by, why_apart
from lab.landscape.scenes import trust_words
from lab.landscape_folder import arrays_of
from lab.landscape_scenes import scenes_of as scenes_alone
from lab.panel.portraits import scenes_of
from lab.training import Training
from lab.views import Lens, View


def frozen_function(factor=1.0, **changes):
    session = Training(SMALL.changed(model=small_model("mlp"), **changes), device="cpu")
    first = next(session.model.parameters()).requires_grad_(requires_grad=False)
    with torch.no_grad():
        first.mul_(factor)
    return Function.of(session.recipe, session.model)


def test_frozen_weights_decide_to_the_last_bit_and_a_rate_does_not():
    plain, faster, scaled = frozen_function(), frozen_function(**{"optimizer.lr": 0.5}), frozen_function(1 + 2**-20)
    assert plain == faster
    assert one([plain, faster], None)
    assert not one([plain, scaled], None)
    assert why_apart(plain, [faster], None) == ""
    assert why_apart(plain, [faster, scaled], None) == "a picture of its own: other frozen weights"


def test_every_part_that_decides_is_named():
    mine = frozen_function()
    other = frozen_function(activation="tanh", modify=[])
    assert (
        why_apart(mine, [other], "stored")
        == "a picture of its own: other modifiers of the data, another activation, other frozen weights"
    )


@pytest.mark.parametrize(("mode", "shared"), [("stored", False), ("batch", True)])
def test_statistics_are_a_runs_own_where_they_are_used_as_stored(mode, shared):
    session = Training(SMALL.changed(model={**small_model("mlp"), "norm": "batch"}), device="cpu")
    function = Function.of(session.recipe, session.model)
    assert one([function, function], mode) == shared
    words = "a picture of its own: own stored statistics of batch normalisation"
    assert why_apart(function, [function], mode) == ("" if shared else words)


def test_what_a_network_keeps_beside_its_weights_is_no_statistics():
    recipe = SMALL.changed(model={**small_model("transformer"), "positions": "sine"})
    networks = [Training(recipe.changed(seed=seed), device="cpu").model for seed in (0, 1, 2)]
    assert any(buffer.is_floating_point() for buffer in networks[0].buffers())
    next(networks[2].buffers()).mul_(2)
    same, too, other = (Function.of(recipe, network) for network in networks)
    assert one([same, too], "stored")
    assert why_apart(same, [other], "stored") == "a picture of its own: other frozen weights"


@pytest.mark.parametrize("kind", ["points", "line"])
def test_runs_with_other_frozen_weights_share_no_picture_in_the_panel(kind):
    surface = surface_of(bowl, origin=replace(ORIGIN, kind=kind), line=kind == "line")
    surface = replace(surface, measured=replace(surface.measured, batchnorm=None))
    functions = [frozen_function(), frozen_function(), frozen_function(2.0)][3 - (2 if kind == "line" else 3) :]

    def seen(functions):
        portraits = [
            Portrait(number, surface, None, path_of(), 40, {}, False, (9,), 0, "", function, "")
            for number, function in enumerate(functions)
        ]
        return scenes_of(portraits, {number: (number + 1, f"run {number}") for number in range(3)}, 1.0)

    apart, together = seen(functions), seen(functions[:1] * len(functions))
    assert len(together) == 1
    assert "picture of its own" not in trust_words(together[0])
    assert len(apart) == len(functions)
    assert all("; a picture of its own: other frozen weights; " in trust_words(scene) for scene in apart)


OTHERS = SMALL.changed(model=small_model("mlp"), objective="multi_task", epochs=1)
ALONE = "loss of the classes alone, where multi_task trains by another"


def noted(scene, runs=()):
    """What its file of numbers says."""
    with np.load(BytesIO(arrays_of([scene], runs))) as kept:
        return str(kept["0.note"]) if "0.note" in kept.files else ""


@pytest.mark.usefixtures("one_thread")
def test_a_run_that_trains_by_another_loss_says_so_headless():
    run = follow(OTHERS, Lens(samples=20), name="tasks", progress=False, device="cpu")
    (scene,) = scenes_alone([run], View(size=5, lens=Lens(samples=20), replay=0), lambda *_: None)
    assert ALONE in trust_words(scene)
    assert ALONE in brief_words(scene)
    assert noted(scene, [run]) == ALONE


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("objective", ["multi_task", "supervised"])
def test_a_run_that_trains_by_another_loss_says_so_live(objective):
    live, session = Live(share=1.0), Training(OTHERS.changed(objective=objective), device="cpu")
    for event in session:
        live.hear(1, session, event)
    while live.step(still=True) and not live.seen:
        pass
    (scene,) = scenes_of(live.portraits(), {1: (1, "one")}, None)
    said = ALONE if objective == "multi_task" else ""
    assert said in trust_words(scene)
    assert noted(scene) == said


def test_runs_in_one_picture_are_told_by_what_each_trains_by():
    recipes = [SMALL.changed(objective=name) for name in ("supervised", "multi_task", "coral", "multi_task")]
    assert trained_by(recipes[:1]) == ()
    assert trained_by(recipes) == ("multi_task", "coral")
