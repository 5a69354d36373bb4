"""Catalogues: how an option describes itself, once, for every reader.

An option is one decorated function. Its keyword-only arguments become a frozen pydantic
model, and from that model come the panel's controls, the YAML keys, the command's overrides,
the table of options and the common tests.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from inspect import Parameter, cleandoc, signature
from typing import Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

from annotated_types import Ge, Gt, Le, Lt
from pydantic import (
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationError,
    create_model,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, ErrorDetails, core_schema

Rules = Mapping[str, Callable[[Any], bool]]
YAML_BOOLEANS = {"on", "off", "yes", "no", "y", "n", "true", "false", "null"}


class RecipeError(ValueError):
    """What was given, what is allowed, what to do: one line per fault."""


class Knob(NamedTuple):
    """Where a slider moves: a hint, not a limit (lr = 100 is a lesson too). zero: what 0 means, if it is no amount."""

    low: float
    high: float
    log: bool = False
    zero: str = ""


class Doc(NamedTuple):
    """What an option's docstring says of it, for a field that has no function: sentence, formula, source."""

    text: str


class Settings(BaseModel):
    """Base of everything a person may write down: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)

    @model_validator(mode="before")
    @classmethod
    def _true_is_not_a_number(cls, values: Any) -> Any:
        # pydantic reads True as 1; a person who writes `epochs: yes` in YAML did not mean that.
        for key, value in values.items() if isinstance(values, dict) else ():
            field = cls.model_fields.get(key)
            if isinstance(value, bool) and field is not None and is_number(field):
                raise RecipeError(f"{key} is {value}, but must be a number.")
        return values

    @field_validator("*")
    @classmethod
    def _zero_has_no_sign(cls, value: Any) -> Any:
        return value + 0.0 if isinstance(value, float) else value  # -0.0 would give another id


class Choice(Settings):
    """One option by name, with its hyper-parameters."""

    name: str

    def __str__(self) -> str:
        """The name, and the settings that are not at their default: `adam(lr=0.003)`."""
        defaults = {key: field.default for key, field in type(self).model_fields.items()}
        settings = ", ".join(f"{key}={value}" for key, value in self if key != "name" and value != defaults[key])
        return f"{self.name}({settings})" if settings else self.name


class Catalogue(Mapping[str, type[Choice]]):
    """The options of one kind, in the order in which they were defined.

    Example:
        >>> colours = Catalogue("colour")
        >>> @colours.add
        ... def red(image, *, strength: float = 1.0):
        ...     "A red tint. Source: this example."
        ...     return image * strength
        >>> colours.parse("red").strength
        1.0
        >>> colours.parse("rde")
        Traceback (most recent call last):
        lab.catalogue.RecipeError: Unknown colour 'rde'. Did you mean 'red'? Expected one of: red.
    """

    def __init__(self, kind: str, *, gives: str = "", aliases: Mapping[str, str] | None = None) -> None:
        """Args:
        kind: in words. gives: what every option's function must return; empty where nothing may be.
        aliases: other names that the field has for an option, which are answered with the lab's.
        """
        self.kind, self.gives, self.aliases = kind, gives, aliases or {}
        self.functions: dict[str, Callable[..., Any]] = {}
        self._choices: dict[str, type[Choice]] = {}
        self.listeners: list[Callable[[], None]] = []  # told when an option was added

    def __getitem__(self, name: str) -> type[Choice]:
        return self._choices[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._choices)

    def __len__(self) -> int:
        return len(self._choices)

    def add(self, function: Any = None, *, name: str = "", rules: Rules | None = None) -> Any:
        """Decorator: the function's keyword-only arguments become the option's settings.

        Args:
            function: context arguments first, then keyword-only settings with type and default.
            name: of the option, where another catalogue's function has it already; by default the function's.
            rules: sentence -> test of a Choice, for what involves two settings at once.
        Raises:
            ValueError: another module has an option of this name, a setting lacks its type or default, or stands
                before `*`.
        """
        if function is None:
            return lambda decorated: self.add(decorated, name=name, rules=rules)
        name = name or function.__name__
        self._refuse_clash(name, function)
        fields: dict[str, Any] = {"name": (Literal[name], name), **_settings(self.kind, function)}
        choice = create_model(
            name,
            __base__=Choice,
            __doc__=function.__doc__,
            __module__=function.__module__,
            __validators__=_rule_validators(rules or {}),
            **fields,
        )
        check_settings(choice, {}, self.kind, name)  # a default outside its own range is our mistake: say so now
        self._choices[name], self.functions[name] = choice, function
        for listener in self.listeners:
            listener()
        return function

    def _refuse_clash(self, name: str, function: Callable[..., Any]) -> None:
        known = self.functions.get(name)
        if name.lower() in YAML_BOOLEANS:
            raise ValueError(f"An option cannot be called {name!r}: YAML reads that as a boolean.")
        if known is not None and known.__module__ != function.__module__:
            raise ValueError(f"{self.kind} {name!r} exists already, in {known.__module__}.")

    def parse(self, value: object) -> Choice:
        """`"sgd"`, `{"name": "sgd", "lr": 0.3}` or a Choice -> a checked Choice.

        Raises:
            RecipeError: unknown name or setting, or a value outside its range.
        """
        spec = self.as_mapping(value)
        name = spec.get("name")
        if not isinstance(name, str) or name not in self:
            raise RecipeError(self.unknown(name))
        return check_settings(self[name], spec, self.kind, name)

    def as_mapping(self, value: object) -> dict[str, Any]:
        """A name, a mapping or a Choice -> a mapping with a name, not checked further."""
        if isinstance(value, Choice):
            return value.model_dump()
        if isinstance(value, Mapping) and "name" in value:
            return {str(key): setting for key, setting in value.items()}
        if isinstance(value, str):
            return {"name": value}
        allowed = f"a name or a mapping with a name. Expected one of: {', '.join(self)}"
        raise RecipeError(f"{self.kind} is {value!r}, but must be {allowed}.")

    def build(self, choice: Choice, *context: Any) -> Any:
        """Call the option's function: context arguments first, then the chosen settings.

        Raises:
            RecipeError: it returned nothing, but has to.
        """
        settings = {key: value for key, value in vars(choice).items() if key != "name"}
        built = self.functions[choice.name](*context, **settings)
        if built is None and self.gives:
            said = f"{self.kind} {choice.name!r} returned nothing, but must return {self.gives}"
            raise RecipeError(f"{said}: is a `return` missing at the end of its function?")
        return built

    def unknown(self, word: object) -> str:
        """That there is no such option, which there are, and which may be meant."""
        meant = self.aliases.get(str(word).lower())
        hint = f" Here it is called {meant!r}." if meant in self else ""
        return unknown(self.kind, word, self, hint=hint or self._as_a_setting(word))

    def _as_a_setting(self, word: object) -> str:
        """`resnet50` is no model, but a network of the model torchvision."""
        for name, choice in self.items():
            for key, field in choice.model_fields.items():
                if key != "name" and word in options_of(field):
                    return f" It is a {key} of {name}: {{name: {name}, {key}: {word}}}."
        return ""

    def sentence(self, name: str) -> str:
        """First sentence of the option's docstring: the tooltip."""
        return first_sentence(self.functions[name].__doc__)

    def json_schema(self) -> dict[str, Any]:
        """`anyOf` over the options there are now."""
        return {"anyOf": [choice.model_json_schema() for choice in self.values()]}


class OneOf:
    """Pydantic annotation: this field holds one option of a catalogue."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        dump = core_schema.plain_serializer_function_ser_schema(lambda choice: choice.model_dump())
        return core_schema.no_info_plain_validator_function(self.catalogue.parse, serialization=dump)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return self.catalogue.json_schema()


def check_settings(model: type[Choice], spec: Mapping[str, Any], kind: str, name: str) -> Choice:
    """A Choice of these settings. Raises RecipeError in the words of the house."""
    try:
        return model(**spec)
    except ValidationError as error:
        raise RecipeError(explain(error, model, kind, name)) from None


def first_sentence(doc: str | None) -> str:
    paragraph = " ".join(cleandoc(doc or "").split("\n\n")[0].split())
    return re.split(r"(?<=[.?!])\s", paragraph)[0]


def knob_of(field: FieldInfo) -> Knob | None:
    return next((mark for mark in field.metadata if isinstance(mark, Knob)), None)


def doc_of(field: FieldInfo) -> str:
    """What its Doc says; empty without one."""
    return next((cleandoc(mark.text) for mark in field.metadata if isinstance(mark, Doc)), "")


def bounds_of(field: FieldInfo) -> str:
    """The valid range in words, e.g. `greater than 0 and at most 1`; empty when unbounded."""
    words = []
    for mark in field.metadata:
        for kind, text in ((Gt, "greater than"), (Ge, "at least"), (Lt, "less than"), (Le, "at most")):
            if isinstance(mark, kind):
                words.append(f"{text} {getattr(mark, kind.__name__.lower())}")
    return " and ".join(words)


def fault_of(field: FieldInfo, value: Any) -> str:
    """Why a setting refuses a value, such as `must be a number greater than 0`; empty where it takes it."""
    kind: Any = field.annotation
    try:
        create_model("Setting", __base__=Settings, value=(kind, field)).model_validate({"value": value})
    except ValidationError:
        return f"must be {_allowed(field)}"
    return ""


def is_number(field: FieldInfo) -> bool:
    return field.annotation is int or field.annotation is float


def options_of(field: FieldInfo) -> tuple[Any, ...]:
    """The values of a Literal setting; empty for every other type."""
    return get_args(field.annotation) if get_origin(field.annotation) is Literal else ()


def did_you_mean(word: object, known: Any) -> str:
    """The nearest of the known words, capitals or not; empty when none is near."""
    given, names = str(word).lower(), {str(name).lower(): name for name in known}
    close = get_close_matches(given, list(names), n=len(names) or 1, cutoff=0.5)
    return f" Did you mean {names[min(close, key=lambda name: edits(given, name))]!r}?" if close else ""


def edits(a: str, b: str) -> int:
    """How many letters must be changed, added, dropped or swapped with their neighbour to get from a to b.

    Example:
        >>> edits("adma", "adam"), edits("adma", "adamax")
        (1, 2)

    Source: Damerau 1964, doi 10.1145/363958.363994, each place edited once.
    """
    rows = [list(range(len(b) + 1))]
    for i, letter in enumerate(a, 1):
        row = [i]
        for j, other in enumerate(b, 1):
            row.append(min(rows[-1][j] + 1, row[-1] + 1, rows[-1][j - 1] + (letter != other)))
            if i > 1 and j > 1 and a[i - 2 : i] == other + b[j - 2]:
                row[-1] = min(row[-1], rows[-2][j - 2] + 1)
        rows.append(row)
    return rows[-1][-1]


def unknown(kind: str, word: object, known: Any, owner: str = "", hint: str = "") -> str:
    """The hint first: what is meant is seldom the last of a long list."""
    expected = ", ".join(known) or "none, it has no settings"
    return f"Unknown {kind} {word!r}{owner}.{hint or did_you_mean(word, known)} Expected one of: {expected}."


def explain(error: ValidationError, model: type[Settings], kind: str = "", name: str = "") -> str:
    """Pydantic's report in the words of the house, one line per fault."""
    return "\n".join(_explain_one(fault, model, kind, name) for fault in error.errors())


def _explain_one(fault: ErrorDetails, model: type[Settings], kind: str, name: str) -> str:
    own, place = fault.get("ctx", {}).get("error"), f"{kind} {name}: " if kind else ""
    if isinstance(own, RecipeError):
        return f"{place}{own}" if not fault["loc"] else str(own)
    key = str(fault["loc"][0])
    if fault["type"] == "extra_forbidden":
        known = [field for field in model.model_fields if field != "name"]
        return (
            unknown("setting", key, known, owner=f" of {kind} {name}")
            if kind
            else unknown(f"{model.__name__.lower()} key", key, known)
        )
    return f"{place}{key} is {fault['input']!r}, but must be {_allowed(model.model_fields[key])}."


def _allowed(field: FieldInfo) -> str:
    if options := options_of(field):
        return f"one of: {', '.join(map(str, options))}"
    types: dict[Any, str] = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
    words = " ".join(filter(None, [types.get(field.annotation, "a list"), bounds_of(field)]))
    knob = knob_of(field)
    return f"{words} (usual: {knob.low:g} to {knob.high:g})" if knob else words


def _settings(kind: str, function: Callable[..., Any]) -> dict[str, Any]:
    hints = get_type_hints(function, include_extras=True)
    fields: dict[str, Any] = {}
    for argument in signature(function).parameters.values():
        if argument.kind is not Parameter.KEYWORD_ONLY:
            _refuse_hidden_setting(kind, function, argument)
            continue
        if argument.name == "name":
            raise ValueError(f"{kind} {function.__name__!r}: a setting cannot be called 'name', the option's own key.")
        if argument.default is Parameter.empty or argument.name not in hints:
            raise ValueError(f"{kind} {function.__name__!r}: setting {argument.name!r} needs a type and a default.")
        fields[argument.name] = (hints[argument.name], argument.default)
    return fields


def _refuse_hidden_setting(kind: str, function: Callable[..., Any], argument: Parameter) -> None:
    """A context argument with a default was meant as a setting: it would stay at its default without a word."""
    if argument.default is Parameter.empty:
        return
    own = signature(function).parameters.values()
    context = [other.name for other in own if other.default is Parameter.empty and other.kind is not other.KEYWORD_ONLY]
    said = f"{kind} {function.__name__!r}: {argument.name!r} stands before `*`, where nothing can be chosen"
    typed = f"{argument.name}: {type(argument.default).__name__} = {argument.default!r}"
    raise ValueError(f"{said}. Write: def {function.__name__}({', '.join([*context, '*', typed])})")


def _rule_validators(rules: Rules) -> dict[str, Any]:
    def check(choice: Any) -> Any:
        for sentence, holds in rules.items():
            if not holds(choice):
                raise RecipeError(sentence)
        return choice

    return {"rules": model_validator(mode="after")(check)} if rules else {}
