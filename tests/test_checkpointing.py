"""Less memory for the same gradient: layers computed again, and batches in parts; what they save is what is counted."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from small_networks import noisy_normed
from small_runs import EXACT, SMALL, TINY_CNN, same_history, same_weights, trained
from torch import nn

import lab
from lab.checkpointing import chains, in_pieces, links_of, pieces_of, run_again_backwards
from lab.costs import costs
from lab.export import script
from lab.models import models
from lab.recipe import Recipe
from lab.steps import parts_of

PARTS = {"name": "in_parts", "images": 3}
RESNET = {"name": "resnet", "depth": 1, "width": 4}


@pytest.mark.parametrize("model", [TINY_CNN, RESNET, "noisy_normed"])
def test_layers_that_are_computed_again_change_no_bit(model: str | dict[str, object], own_options: None) -> None:
    models.add(noisy_normed)  # draws at random, and keeps statistics
    recipe = SMALL.changed(model=model, epochs=2)
    plain, again = trained(recipe)[0], trained(recipe.changed(gradient="recompute"))[0]
    assert same_history(plain, again)
    assert same_weights(plain, again)
    assert type(again.model).forward is type(plain.model).forward
    assert "forward" not in vars(again.model)


def test_a_chain_is_opened_where_another_one_stands_in_it_and_cut_into_about_as_many_pieces_as_layers_in_each() -> None:
    inner = nn.Sequential(*(nn.Tanh() for _ in range(6)))
    network = nn.ModuleDict({"body": nn.Sequential(nn.Flatten(), inner, nn.Linear(4, 4), nn.Tanh()), "end": nn.Tanh()})
    (chain,) = chains(network)
    links = links_of(chain)
    flat, _, linear, tanh = chain.children()
    assert links == [flat, *inner, linear, tanh]
    assert [len(list(piece.children())) for piece in pieces_of(links)] == [3, 3, 3]


class Beside(nn.Module):
    """A block of one's own: what its layers make, and what went in."""

    def __init__(self, layers: nn.Sequential) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, signal: torch.Tensor) -> torch.Tensor:
        return signal + self.layers(signal)


class Twice(nn.Module):
    """Two such blocks with the same layers."""

    def __init__(self) -> None:
        super().__init__()
        layers = nn.Sequential(nn.Linear(4, 4), nn.Tanh())
        self.first, self.second = Beside(layers), Beside(layers)

    def forward(self, signal: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(signal))


def twice_the_same_layer() -> nn.Module:
    tanh = nn.Tanh()
    return nn.Sequential(nn.Linear(4, 4), tanh, nn.Linear(4, 4), tanh, nn.Linear(4, 4))


@pytest.mark.parametrize("make", [Twice, twice_the_same_layer])
def test_what_stands_in_a_network_twice_is_gone_through_twice(make: Callable[[], nn.Module]) -> None:
    network, images = make(), torch.randn(3, 4)
    slopes = []
    for pieces in (nullcontext(), in_pieces(network, run_again_backwards)):
        with pieces:
            slopes.append(torch.autograd.grad(network(images).square().sum(), [*network.parameters()]))
    assert all(map(torch.equal, *slopes))


@pytest.mark.parametrize("images", [1, 3, 8, 100])
def test_parts_of_a_batch_add_up_to_its_gradient(images: int) -> None:
    whole = trained(EXACT)[0]
    parted = trained(EXACT.changed(gradient={"name": "in_parts", "images": images}))[0]
    torch.testing.assert_close(whole.history.loss, parted.history.loss, rtol=0, atol=1e-12)
    assert whole.history.accuracy == parted.history.accuracy
    for name, tensor in whole.model.state_dict().items():
        torch.testing.assert_close(parted.model.state_dict()[name], tensor, rtol=0, atol=1e-11)


def test_a_part_has_what_belongs_to_its_images_and_what_belongs_to_none() -> None:
    images, labels, strength = torch.arange(10.0).view(5, 2), torch.arange(5), torch.tensor(0.5)
    parts = parts_of((images, labels, strength), 2)
    assert [share for _, share in parts] == [0.4, 0.4, 0.2]
    assert torch.equal(torch.cat([part[0] for part, _ in parts]), images)
    assert [part[1].tolist() for part, _ in parts] == [[0, 1], [2, 3], [4]]
    assert all(part[2] is strength for part, _ in parts)


def test_what_is_kept_of_a_chain_is_what_goes_into_its_pieces_and_what_is_in_one() -> None:
    deep = SMALL.changed(model={"name": "mlp", "depth": 8, "width": 16}, activation="tanh")
    plain, again = costs(deep), costs(deep.changed(gradient="recompute"))
    # Flatten, eight times linear and tanh, linear: 18 layers in pieces of four. Of 16 numbers each, else eight answers
    # of tanh are kept; here what goes into four pieces (into the first go the images), and two answers within one.
    assert plain.activation_bytes - again.activation_bytes == 4 * 16 * (8 - 4 - 2) * deep.batch_size
    # What ends a piece is linear, of which what goes in is enough: one is computed again in each of the first four.
    assert again.flops_per_image == plain.flops_per_image + 2 * (64 * 16 + 3 * 16 * 16)


def test_what_is_kept_of_a_batch_in_parts_is_what_is_kept_of_one() -> None:
    parted = costs(SMALL.changed(batch_size=64, gradient={"name": "in_parts", "images": 8}))
    assert parted.activation_bytes == costs(SMALL.changed(batch_size=8)).activation_bytes
    assert parted.flops_per_image == costs(SMALL).flops_per_image


def test_parts_are_innermost_wherever_they_stand_in_the_list() -> None:
    one, other = (trained(SMALL.changed(epochs=1, gradient=order))[0] for order in (["sam", PARTS], [PARTS, "sam"]))
    assert same_history(one, other)
    assert same_weights(one, other)


@pytest.mark.parametrize("changes", [{}, {"objective": "multi_task"}, {"precision": "bfloat16"}])
def test_the_script_does_the_same(changes: dict[str, str], tmp_path: Path) -> None:
    recipe: Recipe = SMALL.changed(epochs=1, model=TINY_CNN, gradient=["l1", PARTS, "recompute"], **changes)
    (tmp_path / "written.py").write_text(script(recipe), encoding="utf-8")
    losses, _ = runpy.run_path(str(tmp_path / "written.py"))["main"]()
    assert losses == lab.train(recipe, progress=False, device="cpu").history.loss
