"""Every option there is, from the catalogues: as text for the command, as a page in Markdown for the docs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from inspect import cleandoc
from typing import Any

from pydantic.fields import FieldInfo

from lab.catalogue import Catalogue, bounds_of, knob_of, options_of
from lab.recipe import CATALOGUES

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
}
TYPES: dict[Any, str] = {bool: "true or false", str: "any text", int: "any whole number", float: "any number"}
SOURCE = "Source:"
STATUS = {"diverged": "diverges", "stuck": "gets stuck", "out_of_memory": "out of memory"}

Result = Mapping[str, Any]  # of a run: status, validation_accuracy; or `said`, why there was none
Results = Mapping[str, Mapping[str, Result]]  # by the recipe's field, then by option

INTRODUCTION = """\
# Every option

Made from the catalogues by `python docs/run_options.py`; a test holds that the two agree. `lab options` prints the same
without the results.

*On digits* is the best validation accuracy of `lab run FIELD=OPTION`: the default recipe (an `mlp` on the digits, 20
epochs of `sgd`, seed 0) with this one option changed, every setting at its default, the learning rate too. So it says
whether an option works as it stands, not how good it can be: for that, give each its own rate (`lab compare`). It is
one run: differences of a point or two mean nothing. *diverges*: the loss was no longer finite. *gets stuck*: it ended
at chance.
"""


def listing(catalogues: Mapping[str, Catalogue]) -> str:
    """For each kind its options, each with its sentence, its settings and its source."""
    return "\n\n".join("\n".join([kind, *lines_of(catalogue)]) for kind, catalogue in catalogues.items())


def lines_of(catalogue: Catalogue) -> Iterator[str]:
    for name in catalogue:
        yield f"  {name}: {catalogue.sentence(name)}"
        for key, field in settings_of(catalogue, name).items():
            ranges = "; ".join(filter(None, [valid(field), f"usually {usual(field)}" if usual(field) else ""]))
            what = f": {field.description}" if field.description else ""
            yield f"      {key}={shown(field.default)} ({ranges}){what}"
        if source := source_of(catalogue, name):
            yield f"      {SOURCE} {source}"


def page(results: Results) -> str:
    """`docs/options.md`."""
    parts = [section(kind, field, shipped(field), results.get(field, {})) for kind, field in KINDS.items()]
    return "\n".join([INTRODUCTION, *parts])


def shipped(field: str) -> list[str]:
    """The lab's own options: what a notebook has added is not in its docs."""
    functions = CATALOGUES[field].functions
    return [name for name, function in functions.items() if function.__module__.partition(".")[0] == "lab"]


def section(kind: str, field: str, names: Sequence[str], results: Mapping[str, Result]) -> str:
    """A kind's overview, then each of its options."""
    catalogue = CATALOGUES[field]
    rows = [
        row(f"[{name}](#{field}-{name})", catalogue.sentence(name), in_words(results.get(name, {}))) for name in names
    ]
    head = [f"## {kind} (`{field}`)", "", "| option | | on digits |", "|---|---|---|", *rows, ""]
    return "\n".join([*head, *(entry(catalogue, field, name) for name in names)])


def entry(catalogue: Catalogue, field: str, name: str) -> str:
    """An option: heading, formula, settings, source."""
    lines = [f'<a id="{field}-{name}"></a>', f"### {name}", "", catalogue.sentence(name), ""]
    if body := body_of(catalogue, name):
        lines += ["```text", body, "```", ""]
    if settings := settings_of(catalogue, name):
        lines += ["| setting | default | valid | usual | |", "|---|---|---|---|---|"]
        lines += [setting_row(key, setting) for key, setting in settings.items()]
        lines.append("")
    return "\n".join([*lines, *([f"{SOURCE} {source}", ""] if (source := source_of(catalogue, name)) else [])])


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


def settings_of(catalogue: Catalogue, name: str) -> dict[str, FieldInfo]:
    return {key: field for key, field in catalogue[name].model_fields.items() if key != "name"}


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


def body_of(catalogue: Catalogue, name: str) -> str:
    """The docstring between its first sentence and its source: formula and explanation."""
    before = doc_of(catalogue, name).partition(SOURCE)[0].strip()
    first, _, rest = before.partition("\n\n")
    more = " ".join(first.split()).removeprefix(catalogue.sentence(name)).strip()
    return "\n\n".join(filter(None, [more, rest.strip("\n")]))


def source_of(catalogue: Catalogue, name: str) -> str:
    return " ".join(doc_of(catalogue, name).partition(SOURCE)[2].split())


def doc_of(catalogue: Catalogue, name: str) -> str:
    return cleandoc(catalogue.functions[name].__doc__ or "")
