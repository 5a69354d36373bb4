"""What the panel shows before the first step, what rests, and what unfolds; without a browser."""

from __future__ import annotations

import threading

import ipywidgets
import pytest
import torch
from small_panels import LONG, until

import lab
from lab.costs import costs
from lab.costs import words as costs_in_words
from lab.diagnostics import Health
from lab.idle import idle, without_idle
from lab.panel import worker
from lab.panel.forecast import cost_key
from lab.panel.pictures import PICTURES
from lab.panel.pulse import Pulse
from lab.recipe import Recipe, RecipeError
from lab.training import Training


def resting(panel, field: str) -> str:
    """Why a control rests; empty when it is awake."""
    control = panel.controls[field]
    widget = getattr(control, "dropdown", None) or getattr(control, "box", None) or control.widget
    assert widget.disabled == bool(idle(panel.choices.spec).get(field))
    return control.titles[f"lab-{field}"] if widget.disabled else ""


# -- what rests -------------------------------------------------------------------------------------------------


IDLE = [
    ({"model": "torchvision"}, "activation"),
    ({"model.depth": 0}, "model.width"),
    ({"model.depth": 0}, "model.norm"),
    ({"model.depth": 0}, "model.dropout"),
    ({"model.depth": 0}, "depth_decay"),
    ({"model": "rnn"}, "model.dropout"),
    ({"model": "lstm"}, "model.dropout"),
    ({"model": "gru"}, "model.dropout"),
    ({"model": "transformer", "model.depth": 1}, "model.shared"),
    ({"model": "transformer", "model.norm": "nothing"}, "model.norm_place"),
    ({}, "source"),
]
OTHER = {
    "activation": "tanh",
    "model.width": 7,
    "model.norm": "batch",
    "model.dropout": 0.5,
    "depth_decay": 0.5,
    "model.shared": True,
    "model.norm_place": "after",
}


@pytest.mark.parametrize(
    ("changes", "key"), [pair for pair in IDLE if pair[1] in OTHER and "torchvision" not in pair[0].values()]
)
def test_what_rests_changes_no_number(changes: dict, key: str) -> None:
    few = {"epochs": 1, "modify": [{"name": "subset", "per_class": 3}], **changes}
    recipe = Recipe().changed(**few)
    assert key in idle(recipe.model_dump())
    other = recipe.changed(**{key: OTHER[key]})
    assert key in idle(other.model_dump())
    losses = [list(lab.train(each, progress=False, device="cpu").history.loss) for each in (recipe, other)]
    assert losses[0] == losses[1]


def test_a_choice_that_matters_does_not_rest() -> None:
    assert set(idle(Recipe().model_dump())) == {"source", "optimizer.nesterov"}


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({}, "optimizer.nesterov"),
        ({"model": {"name": "resnet", "skip": False}}, "model.zero_last"),
        ({"model": {"name": "torchvision", "network": "alexnet"}}, "model.small_stem"),
        ({"model": "torchvision"}, "activation"),
        ({"model": {"name": "mlp", "depth": 0}}, "activation"),
    ],
)
def test_what_is_not_allowed_beside_the_rest_rests(changes: dict, key: str) -> None:
    recipe = Recipe(**changes)
    assert key in idle(recipe.model_dump())
    with pytest.raises(RecipeError):
        recipe.changed(**{key: "tanh" if key == "activation" else True})


def test_a_network_with_activations_of_its_own_refuses_another() -> None:
    with pytest.raises(RecipeError, match="torchvision brings its own activations, so activation gelu has no effect"):
        Recipe(model="torchvision", activation="gelu")


def test_pretrained_weights_rest_until_there_is_a_source_and_stay_to_be_changed() -> None:
    given = {"init": "pretrained", "source": {"name": "run", "folder": "a"}, "transfer": "whole"}
    assert "init" not in idle(given)
    assert Recipe(**given).init.name == "pretrained"
    for missing in ({"source": "nothing"}, {"transfer": "scratch"}):
        assert idle(given | missing)["init"].startswith("Not yet: pretrained starts from a source's weights.")
        assert Recipe(**without_idle(given | missing)).init.name == "he_normal"
        with pytest.raises(RecipeError, match="init pretrained starts from a source's weights, but source is"):
            Recipe(**given | missing)


ENTRIES = [
    ({"augment": ["hue"]}, "augment.hue"),
    ({"augment": ["saturation"]}, "augment.saturation"),
    ({"augment": ["grayscale"]}, "augment.grayscale"),
    *(({"augment": [name], "batch_size": 1}, f"augment.{name}") for name in ("mixup", "cutmix", "fmix")),
]


def test_a_network_without_hidden_layers_refuses_an_activation_that_was_chosen() -> None:
    said = "mlp has no hidden layers at depth 0, so there is nothing that activation tanh activates: leave it at relu"
    with pytest.raises(RecipeError, match=said):
        Recipe(model={"name": "mlp", "depth": 0}, activation="tanh")
    Recipe(model={"name": "mlp", "depth": 1}, activation="tanh")


@pytest.mark.parametrize(("changes", "key"), ENTRIES)
def test_an_entry_that_rests_changes_no_number(changes: dict, key: str) -> None:
    recipe = Recipe(epochs=1, modify={"name": "subset", "per_class": 3}, **changes)
    assert key in idle(recipe.model_dump())
    losses = [
        lab.train(each, progress=False, device="cpu").history.loss for each in (recipe, recipe.changed(augment=[]))
    ]
    assert losses[0] == losses[1]


@pytest.mark.parametrize("name", ["digits", "mnist", "fashion_mnist", "folder", "cifar10"])
def test_hue_rests_where_there_is_one_channel(name: str) -> None:
    spec = Recipe(augment="hue", data=name).model_dump()
    assert ("augment.hue" in idle(spec)) == (name not in ("folder", "cifar10"))
    assert name != "folder" or "augment.hue" in idle(spec | {"data": {"name": "folder", "colour": "grey"}})


def test_one_sample_by_the_optimizer_is_one_too() -> None:
    assert "augment.mixup" in idle(Recipe(augment="mixup", optimizer="stochastic_gd").model_dump())
    assert "augment.mixup" not in idle(Recipe(augment="mixup", optimizer="batch_gd", batch_size=1).model_dump())


def test_patience_longer_than_the_run_rests_and_can_be_changed(panel) -> None:
    epochs, patience = panel.controls["epochs"], panel.controls["patience"]
    epochs.value, patience.value = 4, 4
    assert panel.helper.titles["lab-patience"] == "No effect: the run ends after 4 epochs."
    assert "lab-resting" in patience.widget._dom_classes
    assert not patience.box.disabled
    assert panel.recipe.patience == 0
    patience.value = 3
    assert panel.helper.titles["lab-patience"].startswith("stop after so many epochs")
    assert panel.recipe.patience == 3


def test_an_objective_that_lacks_a_second_domain_says_so_below_itself_and_can_be_changed(panel) -> None:
    objective, modify = panel.controls["objective"], panel.controls["modify"]
    assert objective.why.value == ""
    objective.dropdown.value = "dann"
    said = (
        "There is one domain only: tick new domain or backgrounds, to give dann a second; until then training is "
        "supervised."
    )
    assert said in objective.why.value
    assert objective.why.layout.display is None
    assert panel.helper.titles["lab-objective"] == said
    assert not objective.dropdown.disabled
    assert panel.recipe.objective.name == "supervised"
    modify.boxes["backgrounds"].value = True
    assert objective.why.value == ""
    assert objective.why.layout.display == "none"
    assert panel.recipe.objective.name == "dann"
    modify.boxes["backgrounds"].value = False
    assert said in objective.why.value
    objective.dropdown.value = "supervised"
    assert objective.why.value == ""


def test_an_entry_without_effect_is_greyed_says_why_and_wakes_up(panel) -> None:
    panel.recipe = Recipe(augment=["hue", "mixup"])
    hue, mixup = panel.controls["augment"].entries
    assert panel.helper.titles["lab-augment-hue"] == "No effect: the images have one channel."
    assert hue.settings["strength"].box.disabled
    assert "lab-resting" in hue.on._dom_classes
    assert not mixup.settings["alpha"].box.disabled
    panel.controls["batch_size"].value = 1
    assert "no other to mix it with" in panel.helper.titles["lab-augment-mixup"]
    panel.controls["data"].dropdown.value = "cifar10"
    assert not hue.settings["strength"].box.disabled
    assert panel.helper.titles["lab-augment-hue"] == lab.augmentations.sentence("hue")
    assert [choice.name for choice in panel.recipe.augment] == ["hue", "mixup"]


def test_an_optimizer_that_sets_its_batch_lets_the_batch_size_rest(monkeypatch) -> None:
    monkeypatch.setattr("lab.idle.BATCH", {"sgd": 1})
    assert idle({"optimizer": "sgd", "batch_size": 64})["batch_size"] == "No effect: sgd sets the batch itself."
    assert without_idle({"optimizer": "sgd", "batch_size": 0}) == {"optimizer": "sgd"}


def test_a_control_without_effect_is_greyed_says_why_and_wakes_up(panel) -> None:
    panel.controls["activation"].dropdown.value = "leaky_relu"
    panel.controls["model"].dropdown.value = "torchvision"
    assert resting(panel, "activation") == "No effect: networks of torchvision bring their own activations."
    assert all(control.box.disabled for control in panel.controls["activation"].settings.values())
    assert panel.helper.titles["lab-activation"].startswith("No effect")
    assert panel.recipe.activation.name == "relu"
    assert panel.invalid.value == ""
    panel.controls["model"].dropdown.value = "mlp"
    assert resting(panel, "activation") == ""
    assert panel.recipe.activation.name == "leaky_relu"


def test_what_was_given_without_effect_stays_as_it_was_given(panel) -> None:
    given = Recipe(model={"name": "mlp", "depth": 0, "width": 32}, epochs=2, patience=5)
    panel.recipe = given
    assert panel.recipe.id == given.id
    panel.controls["batch_size"].value = 16
    assert panel.recipe == given.changed(batch_size=16)
    panel.controls["model"].settings["depth"].value = 1
    panel.controls["model"].settings["width"].value = 48
    panel.controls["model"].settings["depth"].value = 0
    assert panel.recipe == given.changed(batch_size=16, **{"model.width": 64})  # nobody gave 48 for nothing


def test_a_setting_without_effect_rests_even_when_its_value_is_not_allowed(panel) -> None:
    model = panel.controls["model"]
    model.settings["width"].value = 0
    assert "width is 0" in panel.invalid.value
    model.settings["depth"].value = 0
    assert panel.invalid.value == ""
    assert model.settings["width"].box.disabled
    assert "no hidden layers" in panel.helper.titles["lab-width"]


# -- before the first step --------------------------------------------------------------------------------------


def foretold(panel, words: str) -> bool:
    return words in panel.forecast.sentence.value


def at_rest(panel) -> bool:
    """Whether all that is shown is of the recipe shown."""
    return "lab-stale" not in panel.forecast.body._dom_classes


def test_the_forecast_follows_the_controls(panel) -> None:
    until(panel, lambda: foretold(panel, "keep their size"))
    assert "8,970 parameters" in panel.forecast.costs.value
    panel.recipe = Recipe(activation="sigmoid", model={"name": "mlp", "depth": 9})
    until(panel, lambda: foretold(panel, "The gradient at layer 1"))
    assert 'data-trouble="vanishing"' in panel.forecast.sentence.value
    rate = panel.forecast._figures["rate"]
    assert max(rate.data[0].y) == pytest.approx(0.1)
    panel.recipe = panel.recipe.changed(**{"optimizer.lr": 3.0})
    until(panel, lambda: max(rate.data[0].y) == pytest.approx(3.0))
    assert len(panel.forecast._figures["doctor"].data) == 3


def test_nothing_of_an_older_picture_is_left(panel) -> None:
    panel.recipe = Recipe(warmup=0.2, schedule="exponential")
    until(panel, lambda: "rate" in panel.forecast._figures)
    rate, sent = panel.forecast._figures["rate"], []
    until(panel, lambda: len(rate.layout.shapes) == 1 and rate.layout.yaxis.type == "log")
    rate._send_relayout_msg = lambda changes, *_: sent.append(changes)
    panel.recipe = Recipe()
    until(panel, lambda: len(rate.layout.shapes) == 0)
    assert sent[0]["shapes"] is None
    assert sent[0]["yaxis.type"] is None


def test_the_forecast_says_what_is_wrong_in_words(panel) -> None:
    panel.recipe = Recipe(data={"name": "folder", "path": "no <b>"})
    until(panel, lambda: panel.forecast.problem.value)
    assert "There is no folder no &lt;b&gt;" in panel.forecast.problem.value
    panel.recipe = Recipe(model={"name": "torchvision", "network": "alexnet"})
    until(panel, lambda: "cannot read images of 8 x 8" in panel.forecast.problem.value)
    assert "Traceback" not in panel.forecast.problem.value
    panel.recipe = Recipe()
    until(panel, lambda: foretold(panel, "keep their size"))
    assert panel.forecast.problem.value == ""


def test_the_forecast_says_what_of_each_layer_is_copied_frozen_and_trained(panel, tmp_path) -> None:
    lab.train(Recipe(epochs=1), folder=tmp_path / "a<b>", progress=False, device="cpu")
    until(panel, lambda: panel.forecast.costs.value)
    assert panel.forecast.layers.value == ""
    source = {"name": "run", "folder": f"{tmp_path}/a<b>"}
    panel.recipe = Recipe(source=source, transfer="features")
    until(panel, lambda: "3 of 3 layers copied from run" in panel.forecast.layers.value)
    assert "a&lt;b&gt;; 650 of 8,970 parameters are trained, 8,320 never." in panel.forecast.layers.value
    assert "<td>1</td><td>Linear</td><td>64 x 64</td><td>4,160</td><td>copied</td><td>frozen</td>" in (
        panel.forecast.layers.value
    )
    panel.recipe = Recipe(source={**source, "folder": "none"}, transfer="features")
    until(panel, lambda: "There is no run in none. Set source.folder" in panel.forecast.problem.value)
    assert panel.forecast.layers.value == ""


def test_a_source_rests_until_a_transfer_wants_it(panel) -> None:
    assert resting(panel, "source") == "No effect: scratch copies no weights."
    panel.recipe = Recipe(transfer="whole")
    assert not resting(panel, "source")
    assert panel.controls["transfer"].settings["batchnorm"].widget.disabled
    panel.recipe = Recipe(transfer="whole", model={"name": "mlp", "norm": "batch"})
    assert not panel.controls["transfer"].settings["batchnorm"].widget.disabled
    panel.recipe = Recipe(transfer="features")
    assert resting(panel, "depth_decay") == "No effect: features trains the last layer alone."


def test_an_error_that_nobody_foresaw_is_shown_in_one_line(panel) -> None:
    def odd():
        """Breaks. Source: this test."""

        class Odd(torch.nn.Module):
            def forward(self, images):
                raise RuntimeError("odd\nand long")

        return Odd()

    lab.activations.add(odd)
    try:
        panel.recipe = Recipe(activation="odd")
        until(panel, lambda: "This network cannot be looked at: odd</div>" in panel.forecast.problem.value)
    finally:
        lab.activations.functions.pop("odd")
        lab.activations._choices.pop("odd")


def test_an_invalid_recipe_has_no_forecast(panel) -> None:
    until(panel, lambda: foretold(panel, "keep"))
    panel.controls["epochs"].value = 0
    panel.pump.drain()
    assert panel.forecast.sentence.value == panel.forecast.costs.value == ""
    assert panel.forecast.frames["doctor"].layout.display == "none"


def test_the_forecast_is_told_while_a_training_runs_and_changes_no_number(panel) -> None:
    recipe = Recipe(epochs=50_000, model={"name": "mlp", "dropout": 0.2})
    panel.recipe = recipe
    panel.start()
    until(panel, lambda: panel.runs and panel.runs[0].history.loss)
    panel.recipe = Recipe(activation="sigmoid", model={"name": "mlp", "depth": 9})
    until(panel, lambda: foretold(panel, "The gradient at layer 1"))
    assert not panel.jobs[0].done.is_set()
    panel.stop()
    (run,) = panel.wait()
    alone = lab.train(recipe.changed(epochs=run.step // 20 + 1), progress=False, device="cpu")
    assert run.history.loss == alone.history.loss[: run.step]


def test_the_forecast_is_told_while_a_training_is_held(panel) -> None:
    panel.recipe = Recipe(epochs=5000)
    panel.start()
    panel.pause()
    panel.recipe = Recipe(activation="sigmoid", model={"name": "mlp", "depth": 9})
    until(panel, lambda: foretold(panel, "The gradient at layer 1"))
    panel.stop()
    assert panel.wait()[0].status == "stopped"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"gradient": ["sam"]}, "89.6 kFLOP"),
        ({"optimizer": "stochastic_gd"}, "batch of 1"),
        ({"optimizer": "adam"}, "71.8 kB optimizer"),
        ({"average": "ema"}, "35.9 kB average"),
    ],
)
def test_costs_follow_all_that_they_depend_on(panel, change, words) -> None:
    until(panel, lambda: "44.8 kFLOP" in panel.forecast.costs.value)
    panel.recipe = Recipe(**change)
    until(panel, lambda: words in panel.forecast.costs.value)


def test_a_new_rate_needs_no_new_look_at_the_network(panel, monkeypatch) -> None:
    until(panel, lambda: foretold(panel, "keep") and at_rest(panel))
    for name in ("costs", "examinations"):
        monkeypatch.setattr(f"lab.panel.forecast.{name}", lambda *_, **__: 1 / 0)
    panel.recipe = Recipe().changed(**{"optimizer.lr": 3.0})
    until(panel, lambda: max(panel.forecast._figures["rate"].data[0].y) == pytest.approx(3.0))
    until(panel, lambda: at_rest(panel))
    assert panel.forecast.problem.value == ""


def test_what_is_of_an_older_recipe_is_marked_until_the_new_is_known(panel) -> None:
    until(panel, lambda: foretold(panel, "keep"))
    over = threading.Event()
    worker.submit(lambda: over.wait(LONG))
    panel.recipe = Recipe(activation="sigmoid", model={"name": "mlp", "depth": 9})
    panel.pump.drain()
    assert foretold(panel, "keep")
    assert not at_rest(panel)
    over.set()
    until(panel, lambda: foretold(panel, "The gradient at layer 1"))
    until(panel, lambda: at_rest(panel))


def test_the_forecast_lets_a_training_go_on_between_its_parts(panel, monkeypatch) -> None:
    at = []

    def watched(recipe, **where):
        for report in lab.diagnostics.examinations(recipe, **where):
            at.append(panel.entries[0].job.session.step)
            yield report

    panel.recipe = Recipe(epochs=50_000)
    until(panel, lambda: foretold(panel, "keep"))
    panel.start()
    until(panel, lambda: panel.runs and panel.runs[0].history.loss)
    monkeypatch.setattr("lab.panel.forecast.examinations", watched)
    panel.recipe = Recipe(activation="sigmoid", init="xavier_normal", model={"name": "mlp", "depth": 9})
    until(panel, lambda: foretold(panel, "would make it"))
    panel.stop()
    panel.wait()
    assert len(at) == 3
    assert at[-1] > at[0]  # the training has gone on meanwhile


def test_folded_it_asks_for_nothing_and_the_next_panel_remembers(panel) -> None:
    panel.forecast.button.value = False
    panel.recipe = Recipe(epochs=3)
    assert panel.forecast.body.layout.display == "none"
    again = lab.Panel(folder=None, device="cpu")
    try:
        assert again.forecast.button.value is False
        assert "forecast" not in worker._errands
        again.forecast.button.value = True
        until(again, lambda: foretold(again, "keep their size"))
    finally:
        again.close()


def test_only_the_last_request_of_an_errand_is_done() -> None:
    done, began, go, over = [], threading.Event(), threading.Event(), threading.Event()
    worker.submit(lambda: (began.set(), go.wait(LONG)))
    assert began.wait(LONG)
    for number in range(5):
        worker.errand("test", lambda number=number: done.append(number))
    worker.errand("test of the end", over.set)
    go.set()
    assert over.wait(LONG)
    assert done == [4]


def test_what_an_errand_asks_for_waits_for_its_turn() -> None:
    done: list[str] = []

    def first() -> None:
        done.append("first")
        worker.errand("second", lambda: done.append("second"))

    def between() -> None:
        worker.errand("first", first)
        worker.do_errands()
        done.append("between")

    over = threading.Event()
    worker.submit(between)
    worker.submit(worker.do_errands)
    worker.submit(over.set)
    assert over.wait(LONG)
    assert done == ["first", "between", "second"]


def test_an_errand_that_breaks_ends_nothing(capsys) -> None:
    over = threading.Event()
    worker.errand("broken", lambda: 1 / 0)
    worker.errand("next", over.set)
    assert over.wait(LONG)
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_a_closed_panel_leaves_no_widgets_behind() -> None:
    def alive() -> int:
        return len(ipywidgets.widgets.widget._instances)

    def used() -> None:
        made = lab.Panel(folder=None, device="cpu")
        for field in ("activation", "init", "schedule"):
            made.controls[field].about.button.value = True
        until(made, lambda: foretold(made, "keep") and made.controls["init"].about.figure)
        made.finding.hear(lab.diagnostics.range_test(Recipe(), steps=30, repeats=1, device="cpu"))
        made.close()

    used()
    before = alive()
    used()
    assert alive() == before


# -- what unfolds -----------------------------------------------------------------------------------------------


def test_pictures_unfold_and_follow(panel) -> None:
    abouts = {field: panel.controls[field].about for field in PICTURES}
    for about in abouts.values():
        about.button.value = True
    until(panel, lambda: all(about.figure for about in abouts.values()))
    curve = abouts["activation"].figure
    assert [trace.name for trace in curve.data] == ["inputs", "f(x)", "slope f'(x)"]
    assert "f(x) = " in abouts["activation"].text.value
    assert "standard deviation" in abouts["init"].picture.layout.title.text
    panel.controls["activation"].dropdown.value = "tanh"
    until(panel, lambda: min(curve.data[1].y) == pytest.approx(-1, abs=0.01))
    panel.controls["optimizer"].settings["lr"].value = 0.01
    until(panel, lambda: "60 steps at lr 0.01:" in abouts["optimizer"].figure.layout.title.text)
    panel.controls["model"].settings["depth"].value = 5
    until(panel, lambda: len(abouts["model"].figure.data[0].x) == 6)


def test_a_picture_that_fails_says_why(panel, monkeypatch) -> None:
    def broken(*_):
        raise ValueError("a step <too> far")

    monkeypatch.setitem(PICTURES, "optimizer", broken)
    about = panel.controls["optimizer"].about
    about.button.value = True
    until(panel, lambda: about.reason.value)
    assert "There is no picture: " in about.reason.value
    assert "a step &lt;too&gt; far" in about.reason.value
    assert (about.reason.layout.display, about.frame.layout.display) == (None, "none")
    monkeypatch.undo()
    panel.controls["optimizer"].settings["lr"].value = 0.02
    until(panel, lambda: about.picture)
    assert (about.reason.layout.display, about.frame.layout.display) == ("none", None)


def test_a_choice_without_a_picture_has_its_words_only(panel) -> None:
    about = panel.controls["data"].about
    about.button.value = True
    assert "Source" in about.text.value
    assert about.figure is None


def test_what_may_be_ticked_unfolds_too_ticked_or_not(panel) -> None:
    control = panel.controls["gradient"]
    about = control.abouts["sam"]
    assert about.box.layout.display == "none"
    about.button.value = True
    assert about.box.layout.display is None
    assert "Source: Foret" in about.text.value
    panel.recipe = Recipe(gradient=["sam"])
    assert control.abouts["sam"].open
    assert not control.abouts["l1"].open


# -- health -----------------------------------------------------------------------------------------------------


def test_health_is_watched_on_request_and_changes_no_number(panel) -> None:
    recipe = Recipe(epochs=15, model={"name": "mlp", "dropout": 0.2, "norm": "batch"})
    panel.recipe = recipe
    panel.toolbar.toggles["health"].value = True
    panel.pump.drain()
    panel.start()
    (run,) = panel.wait()
    history = panel.entries[0].health
    assert len(history.samples) > 1
    assert history.steps == sorted(history.steps)
    assert panel.health.figure.data[0].z.shape == (len(history.names), len(history.samples))
    panel.health.measure.value = "dead"
    panel.pump.drain()
    assert panel.health.figure.data[0].z.shape[0] == len(history.names)
    assert run.history.loss == lab.train(recipe, progress=False, device="cpu").history.loss


def test_health_is_not_watched_unless_asked_for(panel) -> None:
    panel.recipe = Recipe(epochs=2)
    panel.start()
    panel.wait()
    assert panel.entries[0].health.samples == []
    assert panel.health.figure is None


def test_the_pulse_says_what_watching_every_step_says_the_last_one_too() -> None:
    recipe = Recipe(epochs=3)
    every = {
        health.step: health
        for health in lab.diagnostics.watched(Training(recipe, device="cpu"), every=1)
        if isinstance(health, Health)
    }
    session = Training(recipe, device="cpu")
    pulse = Pulse(session)
    felt = [health for event in session if (health := pulse.hear(event)) is not None]
    assert felt[-1].step == session.steps
    assert all(health == every[health.step] for health in felt)


# -- a rate -----------------------------------------------------------------------------------------------------


def test_a_rate_is_found_and_used(panel) -> None:
    panel.find_rate()
    panel.wait()
    assert panel.finding.found.agreement in panel.finding.words.value
    buttons = panel.finding.uses.children
    assert len(buttons) == len(panel.finding.found.suggestions) == 3
    buttons[1].click()
    assert panel.recipe.optimizer.lr == float(f"{panel.finding.found.suggestions['valley']:.2g}")


def test_rates_of_another_recipe_than_the_one_shown_are_said_to_be(panel) -> None:
    other = "Of another recipe"
    panel.find_rate()
    panel.wait()
    for change, is_other in (
        ({"optimizer.lr": 1.0, "schedule": "cosine"}, False),
        ({"optimizer": "adam"}, True),
        ({"epochs": 3}, False),
        ({"batch_size": 32}, True),
    ):
        panel.recipe = Recipe().changed(**change)
        panel.pump.drain()
        assert (other in panel.finding.words.value) is is_other
        assert panel.finding.found.agreement in panel.finding.words.value


def test_finding_a_rate_can_be_stopped(panel) -> None:
    panel.recipe = Recipe(model={"name": "mlp", "width": 1024, "depth": 6}, batch_size=1024)
    panel.find_rate()
    panel.stop()
    panel.wait()
    assert "Stopped" in panel.finding.words.value
    assert panel.finding.found is None


def test_a_recipe_that_cannot_be_tried_says_so(panel) -> None:
    panel.recipe = Recipe(data={"name": "folder", "path": "nowhere"})
    panel.find_rate()
    panel.wait()
    assert "There is no folder nowhere" in panel.finding.words.value


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": "batch_gd"},
        {"optimizer": "stochastic_gd"},
        {"gradient": ["sam"]},
        {"batch_size": 32},
        {"model": "cnn"},
    ],
    ids=str,
)
def test_the_costs_are_asked_for_again_when_they_change(changes: dict) -> None:
    plain, changed = Recipe(), Recipe(**changes)
    assert costs_in_words(costs(changed)) != costs_in_words(costs(plain))
    assert cost_key(changed) != cost_key(plain)


def test_the_costs_are_not_asked_for_again_at_another_rate() -> None:
    assert cost_key(Recipe().changed(**{"optimizer.lr": 0.3})) == cost_key(Recipe())
