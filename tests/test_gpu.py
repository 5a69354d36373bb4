"""What only a CUDA device can show; skipped where there is none."""

from __future__ import annotations

import sys

import pytest
import torch

import lab
from lab.diagnostics import examine, on, watched
from lab.events import Step

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
GEOMETRY = ["flip", "crop", "rotation", "perspective", "random_resized_crop", "elastic"]
CNN = {"model": "cnn", "augment": GEOMETRY, "optimizer": {"name": "sgd", "momentum": 0.9}, "epochs": 2}


@pytest.mark.parametrize("augment", [["flip", "crop"], *([name] for name in lab.augmentations)], ids=", ".join)
def test_no_step_waits_for_the_device(augment: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["lab.training"], "BLOCK_SECONDS", 3600)  # lab.training is the function
    session = lab.Training(lab.Recipe(**{**CNN, "augment": augment}), device="cuda")
    steps = (event for event in session if isinstance(event, Step))
    for _ in range(3):
        next(steps)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(5):
            next(steps)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_the_data_lies_on_the_device() -> None:
    session = lab.Training(lab.Recipe(**CNN), device="cuda")
    assert session.train_split.images.device == session.device


def test_a_gpu_learns_what_a_cpu_learns() -> None:
    recipe = lab.Recipe(epochs=5)
    gpu = lab.train(recipe, device="cuda", progress=False)
    cpu = lab.train(recipe, device="cpu", progress=False)
    assert gpu.history.loss[:20] == pytest.approx(cpu.history.loss[:20], rel=1e-3)


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float64"])
def test_every_precision_trains(precision: str) -> None:
    run = lab.train(lab.Recipe(**CNN, precision=precision), device="cuda", progress=False)
    assert run.status in ("finished", "stuck")
    assert len(run.history.epochs) == 2


def test_streamed_equals_resident() -> None:
    recipe = lab.Recipe(epochs=1)
    streamed = lab.train(recipe, device="cuda", data_budget_bytes=0, progress=False)
    resident = lab.train(recipe, device="cuda", progress=False)
    assert streamed.history.loss == resident.history.loss


def test_too_large_a_network_is_a_result() -> None:
    recipe = lab.Recipe(model={"name": "mlp", "width": 65536, "depth": 100}, epochs=1)
    assert lab.train(recipe, device="cuda", progress=False).status == "out_of_memory"


def test_looking_at_layers_on_the_device_changes_no_bit() -> None:
    recipe = lab.Recipe(**CNN)
    assert examine(recipe, device="cuda").trouble == ""
    undisturbed, session = lab.Training(recipe, device="cuda"), lab.Training(recipe, device="cuda")
    list(undisturbed)
    for event in watched(session, 10):
        if isinstance(event, Step) and event.step == 15:
            on(session, steps=20, repeats=1, high=0.1)
    states = [each.model.state_dict() for each in (undisturbed, session)]
    assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(*(state.values() for state in states), strict=True))


@pytest.mark.parametrize("optimizer", lab.optimizers)
def test_every_optimizer_trains_and_goes_on(optimizer: str) -> None:
    recipe = lab.Recipe(**{**CNN, "optimizer": optimizer, "modify": [{"name": "subset", "per_class": 5}]})
    recipe = recipe.changed(gradient=list(lab.gradients), average="ema", precision="float64")
    whole, session = (lab.Training(recipe, device="cuda") for _ in range(2))
    list(whole)
    next(event for event in session if isinstance(event, Step) and event.step == session.steps_per_epoch)
    again = lab.Training(recipe, device="cuda")
    again.restore(session.state())
    list(again)
    assert again.history.loss == pytest.approx(whole.history.loss, rel=1e-6)
