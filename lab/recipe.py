"""Recipe: everything that decides the numbers of a run, and nothing else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator

from lab.activations import activations
from lab.augmentations import augmentations, learners, mixes
from lab.averages import averages
from lab.catalogue import Catalogue, Choice, OneOf, RecipeError, Settings, explain, unknown
from lab.data import datasets, modifiers
from lab.gradients import gradients
from lab.initializers import initializers
from lab.models import OWN_ACTIVATION, models
from lab.objectives import objectives, with_views, without_labels
from lab.optimizers import optimizers
from lab.plain_fields import (
    BatchSize,
    ClipNorm,
    Cooldown,
    DepthDecay,
    Epochs,
    LabelSmoothing,
    Patience,
    Precision,
    Seed,
    Warmup,
)
from lab.reading import COMMANDS, command_for, read_text, read_yaml
from lab.schedules import schedules, watches
from lab.transfer import cached, sources, thawing, transfers

CATALOGUES: dict[str, Catalogue] = {
    "data": datasets,
    "modify": modifiers,
    "model": models,
    "activation": activations,
    "init": initializers,
    "optimizer": optimizers,
    "schedule": schedules,
    "gradient": gradients,
    "average": averages,
    "augment": augmentations,
    "source": sources,
    "transfer": transfers,
    "objective": objectives,
}

LISTS = ("modify", "gradient", "augment")  # fields that hold several options in order


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str | Choice) or (isinstance(value, Mapping) and "name" in value) else value


def _each_once(choices: tuple[Choice, ...]) -> tuple[Choice, ...]:
    names = [choice.name for choice in choices]
    if twice := {name for name in names if names.count(name) > 1}:
        raise RecipeError(f"{', '.join(sorted(twice))} is listed twice, but an option can stand in a list only once.")
    return choices


class Recipe(Settings):
    """What decides the numbers of a run: one field per catalogue, and how long, how many, how exactly.

    Raises:
        RecipeError: when it is made: unknown names and keys, values outside their range.
    Example:
        >>> Recipe(optimizer={"name": "adam", "lr": "3e-4"}).optimizer.lr
        0.0003
    """

    data: Annotated[Choice, OneOf(datasets)] = datasets.parse("digits")
    modify: Annotated[
        tuple[Annotated[Choice, OneOf(modifiers)], ...],
        BeforeValidator(_as_list),
        AfterValidator(_each_once),
        Field(description="changes to the training split, in order"),
    ] = ()
    model: Annotated[Choice, OneOf(models)] = models.parse("mlp")
    activation: Annotated[Choice, OneOf(activations)] = activations.parse("relu")
    init: Annotated[Choice, OneOf(initializers)] = initializers.parse("he_normal")
    optimizer: Annotated[Choice, OneOf(optimizers)] = optimizers.parse("sgd")
    schedule: Annotated[Choice, OneOf(schedules)] = schedules.parse("constant")
    warmup: Warmup = 0.0
    cooldown: Cooldown = 0.0
    depth_decay: DepthDecay = 1.0
    gradient: Annotated[
        tuple[Annotated[Choice, OneOf(gradients)], ...],
        BeforeValidator(_as_list),
        AfterValidator(_each_once),
        Field(description="changes to the gradient before the optimizer sees it, the first one innermost"),
    ] = ()
    average: Annotated[Choice, OneOf(averages)] = averages.parse("nothing")
    augment: Annotated[
        tuple[Annotated[Choice, OneOf(augmentations)], ...],
        BeforeValidator(_as_list),
        AfterValidator(_each_once),
        Field(description="random changes to every training batch, in order"),
    ] = ()
    source: Annotated[Choice, OneOf(sources)] = sources.parse("nothing")
    transfer: Annotated[Choice, OneOf(transfers)] = transfers.parse("scratch")
    objective: Annotated[Choice, OneOf(objectives)] = objectives.parse("supervised")
    epochs: Epochs = 20
    batch_size: BatchSize = 64
    label_smoothing: LabelSmoothing = 0.0
    clip_norm: ClipNorm = 0.0
    patience: Patience = 0
    precision: Precision = "float32"
    seed: Seed = 0

    def __init__(self, /, **choices: Any) -> None:
        try:
            super().__init__(**choices)
        except ValidationError as error:
            raise RecipeError(explain(error, type(self))) from None

    @model_validator(mode="after")
    def _pretrained_weights_have_a_source(self) -> Recipe:
        if self.init.name == "pretrained" and (self.source.name == "nothing" or self.transfer.name == "scratch"):
            said = f"init pretrained starts from a source's weights, but source is {self.source.name}"
            raise RecipeError(
                f"{said} and transfer {self.transfer.name}: set a source, for example "
                "source='{name: run, folder: FOLDER}', and a transfer that copies from it, for example transfer=whole."
            )
        return self

    @model_validator(mode="after")
    def _something_is_left_between_the_ramps(self) -> Recipe:
        if 1 - self.warmup - self.cooldown <= 0:
            said = f"warmup {self.warmup} and cooldown {self.cooldown} leave nothing of the run between them"
            raise RecipeError(f"{said}: together they must be less than 1.")
        return self

    @model_validator(mode="after")
    def _the_network_uses_the_activation(self) -> Recipe:
        usual = type(self).model_fields["activation"].default
        if self.model.name in OWN_ACTIVATION and self.activation != usual:
            said = f"{self.model.name} brings its own activations, so activation {self.activation} has no effect"
            raise RecipeError(f"{said}: leave it at {usual}.")
        if self.model.name == "mlp" and not dict(self.model)["depth"] and self.activation != usual:
            said = (
                f"mlp has no hidden layers at depth 0, so there is nothing that activation {self.activation} activates"
            )
            raise RecipeError(f"{said}: leave it at {usual}, or give the model a depth of at least 1.")
        return self

    @model_validator(mode="after")
    def _without_labels_something_can_be_learned(self) -> Recipe:
        objective, transfer = self.objective.name, self.transfer.name
        if objective in without_labels and transfer in (*cached, *thawing):
            said = (
                f"objective {objective} trains all but the last layer, and transfer {transfer} at first that one alone"
            )
            raise RecipeError(f"{said}: choose whole or scratch.")
        return self

    @model_validator(mode="after")
    def _images_without_labels_are_augmented_without_them(self) -> Recipe:
        objective = self.objective.name
        for choice in self.augment:
            name = choice.name
            if name in learners and objective in (*with_views, *without_labels):
                said = (
                    f"{name} learns from labels, and makes images of a class, but objective {objective} augments images"
                )
                raise RecipeError(f"{said} whose class it must not know: leave {name} out, or choose supervised.")
            if mixes(augmentations.functions[name]) and objective in with_views:
                said = (
                    f"{name} mixes each image with another one, but objective {objective} looks at an image by itself"
                )
                raise RecipeError(f"{said}, more than once or without its label: leave {name} out.")
        return self

    def __reduce__(self) -> Any:
        return Recipe.from_yaml, (self.to_yaml(),)  # an option's class cannot be found by name; its YAML can

    @property
    def watches_validation(self) -> bool:
        """Whether what the validation split says decides how training goes on."""
        return self.patience > 0 or watches(self.schedule)

    @property
    def id(self) -> str:
        """Equal recipes have equal ids: 12 hex digits of the SHA-256 of the canonical JSON."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]

    def changed(self, /, **overrides: Any) -> Recipe:
        """A copy with some choices changed; dotted keys reach inside, in any order.

        Example:
            >>> Recipe().changed(**{"optimizer.lr": 0.3, "optimizer": "adam"}).optimizer.lr
            0.3
        """
        spec = self.model_dump()
        for key in sorted(overrides, key=lambda key: key.count(".")):  # whole choices before their settings
            _place(spec, key, overrides[key])
        return Recipe(**spec)

    def to_yaml(self) -> str:
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, default_flow_style=None, width=120)

    @classmethod
    def from_yaml(cls, text: str, origin: str = "the text") -> Recipe:
        """Read a recipe. Raises RecipeError: not YAML, not a mapping, a key twice, or not a valid recipe."""
        spec = read_yaml(text, origin)
        if not isinstance(spec, dict):
            raise RecipeError(f"{origin} must be a mapping such as `optimizer: sgd`, but is {spec!r}.")
        if (command := command_for(spec)) != "run":
            raise RecipeError(f"{origin} is not a recipe. Try: lab {command} FILE")
        try:
            return cls(**{str(key): value for key, value in spec.items()})
        except RecipeError as error:
            raise RecipeError(str(error) if origin == "the text" else f"{origin}: {error}") from None

    @classmethod
    def load(cls, path: str | Path) -> Recipe:
        """Read a recipe's YAML file. Raises RecipeError, naming the file."""
        return cls.from_yaml(read_text(path, "the recipe"), str(path))

    def save(self, path: str | Path) -> None:
        Path(path).write_text(self.to_yaml(), encoding="utf-8")


def refuse_other_kind(spec: Any, path: str | Path, what: str, own: Collection[str]) -> None:
    """Raises RecipeError when a file has none of a kind's own keys, but those of a file for another command."""
    keys = set(spec) if isinstance(spec, dict) else set[Any]()
    if not keys & {*own} and keys & {*COMMANDS, *Recipe.model_fields}:
        raise RecipeError(f"{path} is not {what}. Try: lab {command_for(spec)} {path}")


def checked(recipe: object) -> Recipe:
    """The recipe itself. Raises RecipeError for a file's name, a mapping, or whatever else stands in its place."""
    if isinstance(recipe, Recipe):
        return recipe
    ways = 'Recipe.load("FILE.yaml") reads one, Recipe(optimizer="adam") makes one'
    raise RecipeError(f"{recipe!r} was given, but a recipe is needed: {ways}.")


def refuse_choices(arguments: Mapping[str, Any]) -> None:
    """Raises RecipeError when what belongs into the recipe is given beside it."""
    if misplaced := [key for key in arguments if key in Recipe.model_fields]:
        changes = ", ".join(f"{key}={arguments[key]!r}" for key in misplaced)
        raise RecipeError(f"{', '.join(misplaced)} belongs into the recipe: give recipe.changed({changes}).")


def _place(spec: dict[str, Any], key: str, value: Any) -> None:
    field, *inner = key.split(".")
    if field not in Recipe.model_fields:
        raise RecipeError(unknown("recipe key", field, Recipe.model_fields, hint=_where_it_belongs(spec, field)))
    if not inner:
        spec[field] = value
    elif field not in CATALOGUES:
        raise RecipeError(f"{field!r} has no settings inside, so {key!r} means nothing. Use {field}=...")
    elif field in LISTS:
        _place_in_list(spec, field, inner, value)
    elif inner == ["name"]:
        raise RecipeError(f"An option's name is the value of {field} itself: write {field}={value}, not {key}={value}.")
    else:
        spec[field] = {**CATALOGUES[field].as_mapping(spec[field]), _one(key, inner): value}


def _where_it_belongs(spec: dict[str, Any], word: str) -> str:
    """`lr` alone is no key, but a setting of the chosen optimizer."""
    for field, catalogue in CATALOGUES.items():
        value = spec[field]
        if (
            field not in LISTS
            and word != "name"
            and word in catalogue[catalogue.as_mapping(value)["name"]].model_fields
        ):
            return f" It is a setting of {field}: write {field}.{word}."
    return ""


def _place_in_list(spec: dict[str, Any], field: str, path: list[str], value: Any) -> None:
    """`augment.flip.p`: the entry is named by its option."""
    entries = [dict(CATALOGUES[field].as_mapping(entry)) for entry in _as_list(spec[field])]
    found = [entry for entry in entries if entry["name"] == path[0]]
    if path[0] not in CATALOGUES[field]:
        raise RecipeError(CATALOGUES[field].unknown(path[0]))
    if not found:
        present = ", ".join(entry["name"] for entry in entries) or "empty"
        wanted = ", ".join([*(entry["name"] for entry in entries), path[0]])
        raise RecipeError(f"{field} has no entry {path[0]!r} (it is: {present}). Add it first: {field}=[{wanted}].")
    for entry in found:
        entry[_one(".".join([field, *path]), path[1:])] = value
    spec[field] = entries


def _one(key: str, inner: list[str]) -> str:
    if len(inner) != 1 or inner[0] == "name":
        raise RecipeError(f"{key!r} does not name a setting. Expected something like optimizer.lr.")
    return inner[0]


def flat(recipe: Recipe) -> dict[str, Any]:
    """Every leaf of a recipe by its dotted key: `optimizer` is the name, `optimizer.lr` a setting."""
    leaves: dict[str, Any] = {}
    for field, value in recipe:
        leaves[field] = value.name if isinstance(value, Choice) else value
        if isinstance(value, Choice):
            leaves.update({f"{field}.{key}": setting for key, setting in value if key != "name"})
    return leaves


def difference(a: Recipe, b: Recipe) -> str:
    """What differs between two recipes, in words, and only that.

    Example:
        >>> difference(Recipe(), Recipe(epochs=5, optimizer={"name": "sgd", "lr": 0.3}))
        'optimizer.lr 0.1 -> 0.3, epochs 20 -> 5'
    """
    left, right = flat(a), flat(b)
    renamed = {key for key in Recipe.model_fields if left[key] != right[key]}
    changes = []
    for key in sorted({**left, **right}, key=_reading_order):  # sorting is stable: settings keep their order
        owner = key.partition(".")[0]
        if (owner in renamed and key != owner) or left.get(key) == right.get(key):
            continue
        old, new = getattr(a, owner), getattr(b, owner)
        pair = (_words(old), _words(new)) if key == owner else (left.get(key), right.get(key))
        changes.append(f"{key} {pair[0]} -> {pair[1]}")
    return ", ".join(changes) or "no difference"


def _reading_order(key: str) -> int:
    return list(Recipe.model_fields).index(key.split(".", maxsplit=1)[0])


def _words(value: Any) -> str:
    return " + ".join(map(str, value)) or "none" if isinstance(value, tuple) else str(value)


def overrides(recipe: Recipe, base: Recipe | None = None) -> dict[str, Any]:
    """The fewest dotted changes that turn the base (the default recipe) into this one.

    Example:
        >>> overrides(Recipe(epochs=5, optimizer={"name": "adam", "lr": 0.01}))
        {'optimizer': 'adam', 'optimizer.lr': 0.01, 'epochs': 5}
    """
    changes: dict[str, Any] = {}
    for field, value in recipe:
        old = getattr(base or Recipe(), field)
        if isinstance(value, Choice):
            if value.name != old.name:
                changes[field] = value.name
                old = CATALOGUES[field].parse(value.name)
            settings = [(key, setting) for key, setting in value if setting != getattr(old, key)]
            changes |= {f"{field}.{key}": setting for key, setting in settings}
        elif value != old:
            changes[field] = [choice.model_dump() for choice in value] if isinstance(value, tuple) else value
    return changes


def labels(recipes: Sequence[Recipe]) -> list[str]:
    """A short name for each of several recipes: only what is not the same in all of them.

    Example:
        >>> labels([Recipe(), Recipe(optimizer="adam"), Recipe(seed=1)])
        ['sgd, seed 0', 'adam, seed 0', 'sgd, seed 1']
    """
    parts = [_parts(field, [getattr(recipe, field) for recipe in recipes]) for field in Recipe.model_fields]
    return [", ".join(filter(None, row)) or "all alike" for row in zip(*parts, strict=True)]


def _parts(field: str, values: list[Any]) -> list[str]:
    """For one field, a word per recipe; empty words when all recipes agree."""
    if len(set(map(_words, values))) <= 1:
        return [""] * len(values)
    if isinstance(values[0], Choice) and len({value.name for value in values}) == 1:
        keys = [key for key, _ in values[0] if len({getattr(value, key) for value in values}) > 1]
        return [", ".join(f"{key} {getattr(value, key)}" for key in keys) for value in values]
    if field in CATALOGUES:
        return [f"{field} none" if value == () else _words(value) for value in values]
    return [f"{field} {value}" for value in values]
