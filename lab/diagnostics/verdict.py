"""What the signals of a network before its first step mean, in one sentence; and what else to try."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
from typing import Any

from lab.recipe import CATALOGUES, Recipe, RecipeError

# One learning rate serves all layers. On digits with SGD at .1 and 1, 20 epochs: three sigmoid layers (.012) reach 95%,
# four (.003) 19%; three layers of N(0, .01) weights (2e-4) stay at chance.
FAR = 1e-2
HOPELESS = 1e-6  # then gradients are lost in the rounding of float32 weights, or below Adam's eps
LOUD = 5.0  # times the loss of chance: logits so large that the softmax has decided before anything was learned
MANY_DEAD = 1 / 3  # of a layer's units; below it a He-initialised network of usual depth can be by chance
MANY_FLAT = 0.5  # of a layer's inputs lie where the activation is flat, beyond what a standard normal input has
STEADY = 3.0  # sizes that differ by no more than this factor are called kept

# From what cannot be trained at all to what only wastes something.
KINDS = ("overflow", "identical", "silent", "vanishing", "exploding", "fading", "loud", "saturated", "dead")
MILD = ("saturated", "dead")
CHANGES: dict[str, dict[str, Any]] = {
    "he_normal": {"init": "he_normal"},
    "relu with he_normal": {"activation": "relu", "init": "he_normal"},
    "leaky_relu with he_normal": {"activation": "leaky_relu", "init": "he_normal"},
    "orthogonal": {"init": "orthogonal"},
    "xavier_normal": {"init": "xavier_normal"},
}
ORDER = {"dead": ("leaky_relu with he_normal", "he_normal", "orthogonal")}  # for other troubles: as above


@dataclass(frozen=True)
class LayerSignal:
    """One layer before the first step.

    name: its path in the network; kind: its class; units: channels or neurons.
    mean, std: of its output, over images, units and places; activation: class of the one behind it, or None.
    activation_mean, activation_std: of that one's output.
    dead: share of units whose activation has slope 0 for every image and place.
    saturated: share of inputs of the activation where |f'| is below a twentieth of its largest;
        usual_saturated: the same for inputs from a standard normal.
    weight_std: of the weights; weight_gradient: norm of the loss gradient of the weights, None when frozen.
    gradient_rms: root mean square of the gradient of an image's loss by one output value;
        gradient_norm: norm of the gradient by all of them, which layers of any size can be compared by.
    gain: std over that of the layer before, if it is of the same kind; expected_gain: what mean-field theory says, from
        what the activation between received. Zero padding and sums with a shortcut are not in it.
    identical: whether all units have the same weights and the same gradient, and so stay the same.
    """

    name: str
    kind: str
    units: int
    mean: float
    std: float
    activation: str | None
    activation_mean: float | None
    activation_std: float | None
    dead: float | None
    saturated: float | None
    usual_saturated: float | None
    weight_std: float
    weight_gradient: float | None
    gradient_rms: float
    gradient_norm: float
    gain: float | None
    expected_gain: float | None
    identical: bool


@dataclass(frozen=True)
class Trouble:
    """What is wrong: its kind, in words, and the number that says how much, found again in another network."""

    kind: str
    words: str
    measure: Callable[[Look], float] | None = None

    def is_milder_than(self, other: Trouble) -> bool:
        return self.kind in MILD and other.kind not in MILD

    def mended(self, look: Look) -> str:
        """What a change would do, measured."""
        return f"would make it {short(self.measure(look))}" if self.measure else "would mend it"


@dataclass(frozen=True)
class Look:
    """What was seen in one forward and one backward pass.

    loss: mean nats per example of `images` images; chance: log of the number of classes.
    """

    images: int
    loss: float
    chance: float
    layers: tuple[LayerSignal, ...]

    @property
    def back(self) -> float:
        """The gradient at the first layer over that at the last."""
        return ratio(self.layers[0].gradient_norm, self.layers[-1].gradient_norm)

    @property
    def forth(self) -> float:
        """The signal at the last layer over that at the first."""
        return ratio(self.layers[-1].std, self.layers[0].std)

    @property
    def dead(self) -> float:
        return max((layer.dead or 0.0 for layer in self.layers), default=0.0)

    @property
    def flat(self) -> float:
        """The largest share of flat inputs beyond the usual one."""
        return max(map(beyond_usual, self.layers), default=0.0)


def beyond_usual(layer: LayerSignal) -> float:
    return (layer.saturated or 0.0) - (layer.usual_saturated or 0.0)


def ratio(a: float, b: float) -> float:
    return a / b if b else (float("inf") if a else 1.0)


def short(number: float) -> str:
    return f"{number:.2g}"


# -- what can be wrong, the worst first -------------------------------------------------------------------------


def trouble_of(look: Look) -> Trouble | None:
    """The worst that is wrong, or None."""
    if not look.layers:
        return None
    checks = (overflow, identical, silent, vanishing, exploding, fading, loud, saturated, dead)
    return next((found for check in checks if (found := check(look))), None)


def overflow(look: Look) -> Trouble | None:
    for number, layer in enumerate(look.layers, 1):
        if not isfinite(layer.std):
            return Trouble("overflow", f"The signal overflows at layer {number}: this will not train")
    sizes = [look.loss, *(layer.gradient_norm for layer in look.layers)]
    if not all(map(isfinite, sizes)):
        return Trouble("overflow", "The loss or its gradient overflows: this will not train")
    return None


def identical(look: Look) -> Trouble | None:
    for number, layer in enumerate(look.layers[:-1], 1):
        if layer.identical:
            words = f"All {layer.units} units of layer {number} are identical, and will stay so"
            return Trouble("identical", f"{words}: a constant initialisation breaks no symmetry")
    return None


def silent(look: Look) -> Trouble | None:
    """No gradient passes a layer of zeros; it moves itself, and passes one from the second step on."""
    if len(look.layers) > 1 and look.layers[-1].weight_std == 0 == look.layers[-1].std and look.back == 0:
        return Trouble("silent", "The last layer starts at 0, so the layers before it stand still in the first step")
    return None


def vanishing(look: Look) -> Trouble | None:
    if look.back >= FAR:
        return None
    words = f"The gradient at layer 1 is {short(look.back)} of the last layer's"
    return Trouble("vanishing", words + end(look.back), lambda other: other.back)


def exploding(look: Look) -> Trouble | None:
    """Backward or forward, whichever is further."""
    if look.back > 1 / FAR:
        words = f"The gradient at layer 1 is {short(look.back)} times the last layer's: no rate suits both"
        return Trouble("exploding", words, lambda other: other.back)
    if look.forth > 1 / FAR:
        words = (
            f"The signal at layer {len(look.layers)} is {short(look.forth)} times layer 1's: the first steps will leap"
        )
        return Trouble("exploding", words, lambda other: other.forth)
    return None


def fading(look: Look) -> Trouble | None:
    if look.forth >= FAR:
        return None
    words = f"The signal at layer {len(look.layers)} is {short(look.forth)} of layer 1's"
    return Trouble("fading", words + end(look.forth), lambda other: other.forth)


def end(size: float) -> str:
    return ": this will not train" if size < HOPELESS else ": this will train slowly, if at all"


def loud(look: Look) -> Trouble | None:
    if look.loss <= LOUD * look.chance:
        return None
    words = f"The loss starts at {short(look.loss)}, where chance is {short(look.chance)}: it has to unlearn first"
    return Trouble("loud", words, lambda other: other.loss)


def saturated(look: Look) -> Trouble | None:
    if look.flat <= MANY_FLAT:
        return None
    number, layer = max(enumerate(look.layers, 1), key=lambda pair: beyond_usual(pair[1]))
    words = f"{layer.saturated:.0%} of the inputs of layer {number}'s {layer.activation} lie where it is flat"
    return Trouble("saturated", words)


def dead(look: Look) -> Trouble | None:
    if look.dead <= MANY_DEAD:
        return None
    number, layer = max(enumerate(look.layers, 1), key=lambda pair: pair[1].dead or 0.0)
    words = f"{layer.dead:.0%} of the units of layer {number} are dead: their slope is 0 for all {look.images} images"
    return Trouble("dead", f"{all_well(look)[:-1]}, but {words}")


# -- what to say and to try -------------------------------------------------------------------------------------


def all_well(look: Look) -> str:
    if len(look.layers) < 2:
        return "There is one layer: nothing gets lost on the way."
    factor = spread(look)
    if factor <= STEADY:
        return f"Signal and gradient keep their size through all {len(look.layers)} layers."
    return f"Signal and gradient stay within a factor of {short(factor)} through all {len(look.layers)} layers."


def spread(look: Look) -> float:
    """Largest over smallest size of the signal or of the gradient; layers that start at 0 are left out."""
    sizes = [[layer.std for layer in look.layers], [layer.gradient_norm for layer in look.layers]]
    return max(max(kept) / min(kept) for each in sizes if (kept := [size for size in each if size > 0]))


def changes_to_try(recipe: Recipe, trouble: Trouble) -> list[tuple[str, Recipe]]:
    """Recipes that differ from this one and could mend it, by name."""
    if trouble.kind == "silent":  # which is harmless
        return []
    named = [(name, changed(recipe, CHANGES[name])) for name in ORDER.get(trouble.kind, CHANGES)]
    return [(name, other) for name, other in named if other is not None and other != recipe]


def changed(recipe: Recipe, change: dict[str, Any]) -> Recipe | None:
    """The recipe with other options; None when this lab has no such option or the rest does not go with it."""
    if any(name not in CATALOGUES[field] for field, name in change.items()):
        return None
    try:
        return recipe.changed(**change)
    except RecipeError:
        return None
