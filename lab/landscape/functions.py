"""Whether the losses of runs are one function of the weights that are trained; where not, why, in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256

from torch import Tensor, nn

from lab.landscape.evaluators import has_batchnorm, is_batchnorm
from lab.objectives import LOSS_OF_CLASSES
from lab.recipe import Recipe
from lab.views import BatchNormMode

APART = {
    "data": "other data",
    "modify": "other modifiers of the data",
    "model": "another model",
    "activation": "another activation",
    "frozen": "other frozen weights",
}
STATISTICS = "own stored statistics of batch normalisation"


@dataclass(frozen=True)
class Function:
    """What decides a loss beside the weights that are trained: equal for runs whose loss is one function of them.

    data, modify, model, activation: of the recipe. frozen: the weights that rest for good, and what else a network
    keeps, to the last bit. statistics: whether it keeps some of batch normalisation, of which each run has its own.
    """

    data: str
    modify: str
    model: str
    activation: str
    frozen: str
    statistics: bool

    @classmethod
    def of(cls, recipe: Recipe, network: nn.Module) -> Function:
        digest = sha256()
        for tensor in resting(network):
            digest.update(tensor.detach().cpu().numpy().tobytes())
        data, modify, model, activation = map(repr, (recipe.data, recipe.modify, recipe.model, recipe.activation))
        return cls(data, modify, model, activation, digest.hexdigest(), has_batchnorm(network))

    def own(self, mode: BatchNormMode | None) -> bool:
        """Whether no other run shares it, as its statistics are used as they are stored."""
        return self.statistics and mode == "stored"


def resting(network: nn.Module) -> Iterator[Tensor]:
    """What no step changes: frozen weights, and buffers that are no statistics, of positions, say."""
    yield from (weight for weight in network.parameters() if not weight.requires_grad)
    for layer in network.modules():
        if not is_batchnorm(layer):
            yield from layer.buffers(recurse=False)


def trained_by(recipes: Iterable[Recipe]) -> tuple[str, ...]:
    """Objectives of runs that train by another loss than that of the classes, each once."""
    names = dict.fromkeys(recipe.objective.name for recipe in recipes)
    return tuple(name for name in names if name not in LOSS_OF_CLASSES)


def one(functions: Iterable[Function], mode: BatchNormMode | None) -> bool:
    """Whether the losses of several runs are one function."""
    functions = list(functions)
    return len(set(functions)) == 1 and not functions[0].own(mode)


def why_apart(mine: Function, others: Iterable[Function], mode: BatchNormMode | None) -> str:
    """What a run has that others in other pictures have not, in words; empty where there are no others."""
    others = list(others)
    found = [
        words for name, words in APART.items() if any(getattr(mine, name) != getattr(each, name) for each in others)
    ]
    if others and mine.own(mode):
        found.append(STATISTICS)
    return f"a picture of its own: {', '.join(found)}" if found else ""
