"""Networks that cannot fit are refused in words, before they take memory."""

import pytest
import torch
from small_runs import SMALL
from torch import nn

import lab
from lab import memory
from lab.__main__ import main
from lab.memory import weights_that_fit, whole_memory

WIDE = SMALL.changed(model={"name": "mlp", "width": 30, "depth": 3})
BYTES = 4 * sum(rows * columns + rows for rows, columns in ((30, 64), (30, 30), (30, 30), (10, 30)))


@pytest.mark.parametrize(("spare", "status"), [(0, "finished"), (-1, "out_of_memory")])
def test_weights_and_gradients_must_fit(spare, status, monkeypatch):
    monkeypatch.setattr(memory, "whole_memory", lambda: 2 * BYTES + spare)
    run = lab.train(WIDE.changed(epochs=20), progress=False, device="cpu")
    assert run.status == status
    if spare:
        assert run.detail == "Not enough memory on cpu: try a smaller batch_size or model."


def test_a_command_that_only_looks_says_so_in_words(monkeypatch, capsys):
    monkeypatch.setattr(memory, "whole_memory", lambda: 8)
    for command in ("examine", "range"):
        assert main([command, "--device", "cpu"]) == 2
        assert capsys.readouterr().err == "lab: Not enough memory on cpu: try a smaller batch_size or model.\n"


def test_what_is_refused_was_not_filled(monkeypatch):
    filled = []
    monkeypatch.setattr(nn.Linear, "reset_parameters", lambda layer: filled.append(layer.out_features))
    monkeypatch.setattr(memory, "whole_memory", lambda: 8 * 100)
    with pytest.raises(MemoryError, match="The weight of a layer Linear does not fit"), weights_that_fit():
        nn.Sequential(nn.Linear(9, 10), nn.Linear(10, 11))
    assert filled == [10]


def test_other_networks_are_not_counted_afterwards(monkeypatch):
    monkeypatch.setattr(memory, "whole_memory", lambda: 8)
    with pytest.raises(MemoryError, match="The weight of a layer Linear"), weights_that_fit():
        nn.Linear(3, 3)
    assert nn.Linear(3, 3)(torch.zeros(1, 3)).shape == (1, 3)


@pytest.mark.parametrize(
    ("limit", "whole"), [("300\n", 300), ("5000", 1000), ("max\n", 1000), ("", 1000), (None, 1000)]
)
def test_a_container_may_have_less_than_the_machine(limit, whole, tmp_path, monkeypatch):
    monkeypatch.setattr(memory.psutil, "virtual_memory", lambda: type("Memory", (), {"total": 1000}))
    if limit is not None:
        (tmp_path / "memory.max").write_text(limit)
    assert whole_memory(tmp_path) == whole
