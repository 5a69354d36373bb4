"""Which choices of a recipe have no effect beside its other choices, and why: the panel greys them out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from lab.data.domains import judges_elsewhere
from lab.models import OWN_ACTIVATION
from lab.models.vision import SMALL_STEMS
from lab.objectives import without_labels
from lab.optimizers import BATCH

RECURRENT = ("rnn", "lstm", "gru")
GREY = ("digits", "mnist", "fashion_mnist")  # data sets of one channel, whatever their settings
TO_ANOTHER_DOMAIN = ("coral", "dann", "adapted_statistics", "fine_tuned_on_target")
OF_THEIR_OWN_VALUE = ("patience", "objective", "init")  # resting because of what they say, they stay changeable

Leaves = Mapping[str, Any]


class Rule(NamedTuple):
    """What rests, when, and a sentence that says why; it may name choices, as {model}.

    keys: dotted; when: reads the recipe's leaves, as `recipe.flat` has them.
    """

    keys: tuple[str, ...]
    when: Callable[[Leaves], bool]
    reason: str


def has_no_hidden_layers(at: Leaves) -> bool:
    return at.get("model") == "mlp" and at.get("model.depth") == 0


def has_one_domain(at: Leaves) -> bool:
    return not any(f"modify.{name}" in at for name in judges_elsewhere)


def is_grey(at: Leaves) -> bool:
    if "modify.backgrounds" in at:
        return False
    return at.get("data") in GREY or (at.get("data") == "folder" and at.get("data.colour") == "grey")


def starts_from_nothing(at: Leaves) -> bool:
    return at.get("init") == "pretrained" and (at.get("source") == "nothing" or at.get("transfer") == "scratch")


def has_batches_of_one(at: Leaves) -> bool:
    return BATCH.get(str(at.get("optimizer")), at.get("batch_size")) == 1


def runs_out_of_epochs(at: Leaves) -> bool:
    """Whether the run ends before so many epochs can have passed without a lower loss."""
    patience, epochs = at.get("patience"), at.get("epochs")
    return isinstance(patience, int) and isinstance(epochs, int) and 0 < epochs <= patience


RULES = (
    Rule(
        ("activation",),
        lambda at: at.get("model") in OWN_ACTIVATION,
        "No effect: networks of {model} bring their own activations.",
    ),
    Rule(
        ("activation",),
        has_no_hidden_layers,
        "Not here: without hidden layers there is nothing to activate.",
    ),
    Rule(
        ("model.width", "model.norm", "model.dropout"),
        has_no_hidden_layers,
        "No effect: there are no hidden layers (depth is 0).",
    ),
    Rule(("depth_decay",), has_no_hidden_layers, "No effect: there is one layer (depth is 0)."),
    Rule(
        ("model.dropout",),
        lambda at: at.get("model") in RECURRENT and at.get("model.depth") == 1,
        "No effect: it stands between two layers, and there is one (depth is 1).",
    ),
    Rule(
        ("model.shared",),
        lambda at: at.get("model") == "transformer" and at.get("model.depth") == 1,
        "No effect: a single layer (depth is 1) has none to share its weights with.",
    ),
    Rule(
        ("model.norm_place",),
        lambda at: at.get("model") == "transformer" and at.get("model.norm") == "nothing",
        "No effect: there is no norm to place.",
    ),
    Rule(
        ("model.zero_last",),
        lambda at: at.get("model") == "resnet" and at.get("model.skip") is False,
        "Not without skip: a block that starts at 0 would pass nothing on.",
    ),
    Rule(
        ("model.small_stem",),
        lambda at: "model.small_stem" in at and not str(at.get("model.network")).startswith(SMALL_STEMS),
        "Only for networks whose names begin with " + ", ".join(SMALL_STEMS) + ".",
    ),
    Rule(("batch_size",), lambda at: at.get("optimizer") in BATCH, "No effect: {optimizer} sets the batch itself."),
    Rule(
        ("optimizer.nesterov",),
        lambda at: at.get("optimizer.momentum") == 0,
        "Only with momentum above 0: it looks ahead along the momentum.",
    ),
    Rule(
        ("augment.hue", "augment.saturation", "augment.grayscale"), is_grey, "No effect: the images have one channel."
    ),
    Rule(
        ("augment.mixup", "augment.cutmix", "augment.fmix"),
        has_batches_of_one,
        "No effect: a batch of one sample has no other to mix it with.",
    ),
    Rule(("patience",), runs_out_of_epochs, "No effect: the run ends after {epochs} epochs."),
    Rule(
        ("label_smoothing",),
        lambda at: at.get("objective") in without_labels,
        "No effect: {objective} uses no labels.",
    ),
    Rule(
        ("init",),
        starts_from_nothing,
        "Not yet: pretrained starts from a source's weights. Choose transfer and source; until then it is he_normal.",
    ),
    Rule(("source",), lambda at: at.get("transfer") == "scratch", "No effect: scratch copies no weights."),
    Rule(
        ("objective",),
        lambda at: at.get("objective") in TO_ANOTHER_DOMAIN and has_one_domain(at),
        "There is one domain only: tick new domain or backgrounds, to give {objective} a second; until then "
        "training is supervised.",
    ),
    Rule(
        ("objective",),
        lambda at: at.get("objective") == "adapted_statistics" and at.get("model.norm", "batch") != "batch",
        "No effect: this network has no batch normalisation (norm is {norm}).",
    ),
    Rule(
        ("transfer.batchnorm",),
        lambda at: at.get("model.norm", "batch") != "batch",
        "No effect: this network has no batch normalisation (norm is {norm}).",
    ),
    Rule(
        ("depth_decay",),
        lambda at: at.get("transfer") == "features",
        "No effect: features trains the last layer alone.",
    ),
)


def idle(spec: Mapping[str, Any]) -> dict[str, str]:
    """Dotted keys of what has no effect in a recipe, or is not allowed beside the rest, with the reason.

    Args:
        spec: what a recipe is made of, valid or not: choices as mappings with a name, or as names.
    Example:
        >>> idle({"model": {"name": "mlp", "depth": 0, "width": 64}})["model.width"]
        'No effect: there are no hidden layers (depth is 0).'
    """
    at = leaves(spec)
    found: dict[str, str] = {}
    for rule in RULES:
        if rule.when(at):
            fields = {field: at.get(field) for field in ("model", "optimizer", "epochs", "objective")}
            said = rule.reason.format(**fields, norm=at.get("model.norm"))
            found |= {key: said for key in rule.keys if key in at and key not in found}
    return found


def without_idle(spec: Mapping[str, Any], given: Mapping[str, Any] = MappingProxyType({})) -> dict[str, Any]:
    """What is left when all that is idle is left out, so that a recipe takes its defaults there.

    Lists stay as they are: an entry without effect draws random numbers all the same, which the next one's depend on.

    Args:
        given: a recipe in which some of it was idle already; what is still as it was there stays.
    """
    before = idle(given)
    resting = {key for key in idle(spec) if key not in before or at_key(spec, key) != at_key(given, key)}
    kept = {key: value for key, value in spec.items() if key not in resting}
    return {key: _awake(key, value, resting) for key, value in kept.items()}


def at_key(spec: Mapping[str, Any], key: str) -> Any:
    """Of a field, or of a setting of its option together with the option's name."""
    field, _, inner = key.partition(".")
    value = spec[field]
    return (value["name"], value[inner]) if inner and isinstance(value, Mapping) else value


def _awake(key: str, value: Any, resting: Collection[str]) -> Any:
    if not isinstance(value, Mapping):
        return value
    return {inner: setting for inner, setting in value.items() if f"{key}.{inner}" not in resting}


def leaves(spec: Mapping[str, Any]) -> dict[str, Any]:
    """`{"model": {"name": "mlp", "depth": 2}}` -> `{"model": "mlp", "model.depth": 2}`; of a list, `augment.hue`."""
    found: dict[str, Any] = {}
    for key, value in spec.items():
        if isinstance(value, list | tuple):
            found |= leaves({f"{key}.{_name(entry)}": entry for entry in value})
            continue
        inner: Mapping[str, Any] = value if isinstance(value, Mapping) else {"name": value}
        found[key] = inner.get("name")
        found |= {f"{key}.{name}": setting for name, setting in inner.items() if name != "name"}
    return found


def _name(entry: Any) -> Any:
    return entry.get("name") if isinstance(entry, Mapping) else entry
