"""Every option of the catalogues and every other field of a recipe: as text for the command, as a page for the docs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from inspect import cleandoc
from typing import Any, NamedTuple

from pydantic.fields import FieldInfo

from lab.catalogue import (
    Catalogue,
    RecipeError,
    bounds_of,
    did_you_mean,
    doc_of,
    first_sentence,
    knob_of,
    options_of,
    unknown,
)
from lab.recipe import CATALOGUES, Recipe

KINDS = {
    "datasets": "data",
    "modifiers": "modify",
    "models": "model",
    "activations": "activation",
    "initializers": "init",
    "optimizers": "optimizer",
    "schedules": "schedule",
    "gradients": "gradient",
    "averages": "average",
    "augmentations": "augment",
    "sources": "source",
    "transfers": "transfer",
    "objectives": "objective",
}
PLAIN = "recipe"  # the kind of the fields that are no choice from a catalogue
TRIED: dict[str, Any] = {  # what each of them is set to for its result on digits
    "warmup": 0.1,
    "cooldown": 0.2,
    "depth_decay": 0.4,
    "epochs": 5,
    "batch_size": 256,
    "label_smoothing": 0.1,
    "clip_norm": 1.0,
    "patience": 3,
    "precision": "bfloat16",
    "seed": 1,
}
TYPES: dict[Any, str] = {bool: "true or false", str: "any text", int: "any whole number", float: "any number"}
SOURCE = "Source:"
STATUS = {"diverged": "diverges", "stuck": "gets stuck", "out_of_memory": "out of memory"}

Result = Mapping[str, Any]  # of a run: status, validation_accuracy; or `said`, why there was none
Results = Mapping[str, Mapping[str, Result]]  # by the recipe's field, then by option; by PLAIN, then by field


class Told(NamedTuple):
    """What is told of an option, or of a plain field of the recipe, which is its own only setting."""

    name: str
    doc: str
    settings: Mapping[str, FieldInfo]

    @property
    def sentence(self) -> str:
        return first_sentence(self.doc)

    @property
    def body(self) -> str:
        """The docstring between its first sentence and its source: formula and explanation."""
        before = self.doc.partition(SOURCE)[0].strip()
        first, _, rest = before.partition("\n\n")
        more = " ".join(first.split()).removeprefix(self.sentence).strip()
        return "\n\n".join(filter(None, [more, rest.strip("\n")]))

    @property
    def source(self) -> str:
        return " ".join(self.doc.partition(SOURCE)[2].split())


INTRODUCTION = """\
# Every option

Made from the catalogues by `python docs/run_options.py`; a test holds that the two agree. `lab options` prints the same
without the results and, but for the fields of the recipe, without the formulas.

*On digits* is the best validation accuracy of `lab run FIELD=OPTION`: the default recipe (an `mlp` on the digits, 20
epochs of `sgd`, seed 0) with this one option changed, every setting at its default, the learning rate too; of a field
of the recipe, with the value beside it. So it says whether an option works as it stands, not how good it can be: for
that, give each its own rate (`lab compare`). It is one run: differences of a point or two mean nothing. *diverges*: the
loss was no longer finite. *gets stuck*: it ended at chance.
"""


def options_in(catalogue: Catalogue) -> list[Told]:
    return [option(catalogue, name) for name in catalogue]


def option(catalogue: Catalogue, name: str) -> Told:
    settings = {key: field for key, field in catalogue[name].model_fields.items() if key != "name"}
    return Told(name, cleandoc(catalogue.functions[name].__doc__ or ""), settings)


def plain_fields() -> list[Told]:
    """The fields of a recipe that are no choice from a catalogue."""
    fields = {key: field for key, field in Recipe.model_fields.items() if key not in CATALOGUES}
    return [Told(key, doc_of(field), {key: field}) for key, field in fields.items()]


def kinds_of(word: str | None) -> list[str]:
    """All kinds; or the one called so (models), or that fills this field (model), or those with such an option (cnn).

    Raises:
        RecipeError: it is none of these.
    """
    kinds = [*KINDS, PLAIN]
    chosen = [kind for kind in kinds if word in (None, kind, KINDS.get(kind))]
    if found := chosen or [kind for kind in kinds if word in names_of(kind)]:
        return found
    raise RecipeError(unknown("kind or name of options", word, kinds, hint=did_you_mean(word, all_names())))


def names_of(kind: str) -> list[str]:
    return [told.name for told in told_of(kind)]


def all_names() -> list[str]:
    """Of kinds and of options."""
    return [*KINDS, PLAIN, *(name for kind in (*KINDS, PLAIN) for name in names_of(kind))]


def told_of(kind: str) -> list[Told]:
    return plain_fields() if kind == PLAIN else options_in(CATALOGUES[KINDS[kind]])


def listing(kinds: Iterable[str], word: str | None = None) -> str:
    """For each kind its options, each with its sentence, its settings and its source; or only that of a name."""
    return "\n\n".join("\n".join([kind, *_lines_of_kind(kind, word)]) for kind in kinds)


def _lines_of_kind(kind: str, word: str | None) -> Iterator[str]:
    every = told_of(kind)
    named = [told for told in every if told.name == word]
    yield from lines_of(named or every, bodies=kind == PLAIN)


def lines_of(every: Iterable[Told], *, bodies: bool = False) -> Iterator[str]:
    for told in every:
        yield from lines(told, told.body if bodies else "")


def lines(told: Told, body: str = "") -> Iterator[str]:
    yield f"  {told.name}: {told.sentence}"
    for key, field in told.settings.items():
        ranges = "; ".join(filter(None, [valid(field), f"usually {usual(field)}" if usual(field) else ""]))
        what = f": {field.description}" if field.description else ""
        yield f"      {key}={shown(field.default)} ({ranges}){what}"
    yield from (f"      {line}" for line in body.splitlines() if line)
    if told.source:
        yield f"      {SOURCE} {told.source}"


def schemas(kinds: Iterable[str]) -> dict[str, dict[str, Any]]:
    """By kind and name, the JSON schema of an option's settings or of a plain field."""
    fields = Recipe.model_json_schema()["properties"]
    return {
        kind: {told.name: fields[told.name] for told in plain_fields()}
        if kind == PLAIN
        else {name: model.model_json_schema() for name, model in CATALOGUES[KINDS[kind]].items()}
        for kind in kinds
    }


def page(results: Results) -> str:
    """`docs/options.md`."""
    parts = [section(kind, field, shipped(field), results.get(field, {})) for kind, field in KINDS.items()]
    return "\n".join([INTRODUCTION, *parts, plain_section(results.get(PLAIN, {}))])


def shipped(field: str) -> list[str]:
    """The lab's own options: what a notebook has added is not in its docs."""
    functions = CATALOGUES[field].functions
    return [name for name, function in functions.items() if function.__module__.partition(".")[0] == "lab"]


def section(kind: str, field: str, names: Sequence[str], results: Mapping[str, Result]) -> str:
    """A kind's overview, then each of its options."""
    told = [option(CATALOGUES[field], name) for name in names]
    return _section(f"{kind} (`{field}`)", field, told, {name: in_words(results.get(name, {})) for name in names})


def plain_section(results: Mapping[str, Result]) -> str:
    """The fields of a recipe that are no choice from a catalogue, as options are."""
    words = {key: f"`{key}={value}`: {in_words(results.get(key, {}))}" for key, value in TRIED.items()}
    return _section(f"{PLAIN} (fields of their own)", PLAIN, plain_fields(), words)


def _section(title: str, anchor: str, told: Sequence[Told], words: Mapping[str, str]) -> str:
    rows = [row(f"[{one.name}](#{anchor}-{one.name})", one.sentence, words[one.name]) for one in told]
    head = [f"## {title}", "", "| option | | on digits |", "|---|---|---|", *rows, ""]
    return "\n".join([*head, *(entry(one, anchor) for one in told)])


def entry(told: Told, anchor: str) -> str:
    """An option: heading, formula, settings, source."""
    found = [f'<a id="{anchor}-{told.name}"></a>', f"### {told.name}", "", told.sentence, ""]
    if told.body:
        found += ["```text", told.body, "```", ""]
    if told.settings:
        found += ["| setting | default | valid | usual | |", "|---|---|---|---|---|"]
        found += [setting_row(key, setting) for key, setting in told.settings.items()]
        found.append("")
    return "\n".join([*found, *([f"{SOURCE} {told.source}", ""] if told.source else [])])


def setting_row(key: str, field: FieldInfo) -> str:
    return row(f"`{key}`", f"`{shown(field.default)}`", valid(field), usual(field), field.description or "")


def row(*cells: str) -> str:
    """A row of a table; a bar inside a cell must not end it."""
    spared = (cell.replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(spared)} |"


def in_words(result: Result) -> str:
    """`97.4 %`, `gets stuck (10.1 %)`, `diverges`, or why there was no run."""
    if "said" in result:
        return result["said"]
    if not result:
        return "no result yet"
    accuracy, word = result["validation_accuracy"], STATUS.get(result["status"], "")
    percent = f"{100 * accuracy:.1f} %" if accuracy is not None and result["status"] != "diverged" else ""
    return f"{word} ({percent})" if word and percent else word or percent


def valid(field: FieldInfo) -> str:
    """Everything that is accepted, in words."""
    options = " | ".join(map(shown, options_of(field)))
    return options or bounds_of(field) or TYPES.get(field.annotation, "")


def usual(field: FieldInfo) -> str:
    """Where a slider moves; empty without one."""
    knob = knob_of(field)
    return f"{knob.low:g} to {knob.high:g}{', log' if knob.log else ''}" if knob else ""


def shown(value: Any) -> str:
    """As YAML has it."""
    return str(value).lower() if isinstance(value, bool) else "''" if value == "" else str(value)
