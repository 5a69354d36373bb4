"""What each command of `lab` does; its words are read by `lab_command`, outside of the package."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, get_args

from tqdm import tqdm

from lab import app, doctor, run_tables, runs
from lab.catalogue import RecipeError
from lab.choosing import command as choosing
from lab.choosing.telling import Command
from lab.choosing.ways import WAYS, chosen_ways
from lab.choosing.wishes import Wishes as ChoiceWishes
from lab.claims import Claim, numbers
from lab.compare import Comparison
from lab.data import DataError, fetch
from lab.data.published import READERS
from lab.diagnostics import examine, label_probe, range_test
from lab.diagnostics.label_probe import IMAGES, STRENGTHS
from lab.diagnostics.range_test import HIGH, LOW, REPEATS, STEPS
from lab.endings import picked
from lab.export import KEPT, script
from lab.forgetting import forgotten
from lab.idle import TO_ANOTHER_DOMAIN
from lab.label_plans import LabelWishes
from lab.layer_tables import layer_table
from lab.loading import data_of
from lab.option_tables import KINDS, PLAIN, kinds_of, listing, schemas
from lab.own_options import add_options
from lab.plans import Plan, planned_runs
from lab.progress import short_loss
from lab.reading import parse_overrides
from lab.recipe import CATALOGUES, Recipe
from lab.reports import facts, report
from lab.steps import DeviceError, is_out_of_memory, no_memory, pick_device
from lab.store import RunError
from lab.sweeps.wishes import ENGINES, Wishes
from lab.transfer import SourceError, fetch_weights, transfers
from lab.transfer.names import KnownWeights
from lab.views import CHOICES, Lens, View
from lab_command import FLAGS, ROOT, Known, parsed

OK, BAD_INPUT, BAD_RESULT, INTERRUPTED = 0, 2, 3, 130
STANDS_IN = (
    "There is one domain only, so the training split stands for the target of {}: add modify=new_domain or "
    "modify=backgrounds to give it a second."
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; errors that a person can mend go to stderr in words, without a traceback."""
    given = parsed(arguments, known())
    try:
        add_options(getattr(given, "options", ()))
        return ACTIONS[given.command](given)
    except (RecipeError, DataError, SourceError, RunError, DeviceError) as error:
        print(f"lab: {error}{own_hint(str(error))}", file=sys.stderr)
        return BAD_INPUT
    except (MemoryError, RuntimeError) as error:  # a run says it in its status; what only looks has none
        if not is_out_of_memory(error):
            raise
        print(f"lab: {no_memory(pick_device(getattr(given, 'device', None)))}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:  # before or after training; in it, Ctrl-C ends the step first
        kept = given.command in ("choose", "labels") or (given.command == "compare" and given.folder)
        print(f"lab: interrupted.{' The same command goes on.' if kept else ''}", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # `lab options | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK


def own_hint(said: str) -> str:
    """Where an option is unknown, how this process would know one of a person's own."""
    unknown_option = any(f"Unknown {catalogue.kind} " in said for catalogue in CATALOGUES.values())
    return (
        " For one of your own, name its file: --options FILE.py." if unknown_option and "--options" not in said else ""
    )


def known() -> Known:
    """What the command's help says of defaults and choices, each from where it is used."""
    usual = {"low": LOW, "high": HIGH, "steps": STEPS, "repeats": REPEATS, "strengths": STRENGTHS, "images": IMAGES}
    usual |= {"port": app.PORT}
    usual |= vars(View()) | vars(Lens()) | vars(Wishes()) | vars(ChoiceWishes()) | vars(LabelWishes())
    usual |= {"ways": ",".join(WAYS)}
    choices = {**CHOICES, "engine": ENGINES, "ways": WAYS, "kind": (*KINDS, PLAIN), "name": READERS}
    return Known(usual=usual, choices=choices | {"transfers": transfers})


def chosen(given: argparse.Namespace, of: Collection[str]) -> dict[str, Any]:
    """What the command's own flags say, those `of` these names."""
    return {name: getattr(given, name) for name in FLAGS[given.command] if name in of}


def read_recipe(words: Sequence[str]) -> Recipe:
    """`[file.yaml or run folder] key=value ...` -> Recipe."""
    path = words[0] if words and "=" not in words[0] else None
    overrides = parse_overrides(words[1:] if path else words)
    if path and Path(path).is_dir():
        return runs.open_run(path).recipe.changed(**overrides)
    return (Recipe.load(path) if path else Recipe()).changed(**overrides)


def run(given: argparse.Namespace) -> int:
    recipe = read_recipe(given.words)
    if recipe.transfer.name != "scratch" and not given.quiet:
        print(layer_table(recipe), file=sys.stderr)
    if lacks_domain(recipe) and not given.quiet:
        print(STANDS_IN.format(recipe.objective.name), file=sys.stderr)
    folder = given.folder or runs.new_folder(recipe)
    try:
        result = runs.train(recipe, folder=folder, device=given.device, progress=not given.quiet)
    except ValueError:  # no data, no device: nothing was trained
        if given.folder is None:
            folder.rmdir()
        raise
    return show_run(result, given)


def lacks_domain(recipe: Recipe) -> bool:
    """Whether what it learns adapts to a second domain, and its data set has none."""
    return recipe.objective.name in TO_ANOTHER_DOMAIN and data_of(recipe).shift is None


def resume(given: argparse.Namespace) -> int:
    return show_run(runs.resume(given.folder, device=given.device, progress=not given.quiet), given)


def compare(given: argparse.Namespace) -> int:
    path, *changes = given.words
    plan = Plan.load(path, parse_overrides(changes))
    comparison = Comparison(plan, folder=given.folder, device=given.device)
    drain(comparison, quiet=given.quiet)
    print(json.dumps(facts(comparison)) if given.json else report(comparison))
    return OK


def count_labels(given: argparse.Namespace) -> int:
    from lab import label_command as command  # noqa: PLC0415  # draws with Plotly, which is slow to import

    wishes = LabelWishes(given.counts, given.transfers, given.seeds, given.rates, given.folder)
    found = command.counted(read_recipe(given.words), wishes, device=given.device, quiet=given.quiet)
    print(json.dumps(command.facts(*found)) if given.json else command.in_words(*found))
    return OK


def choose(given: argparse.Namespace) -> int:
    said = Command(tuple(given.typed))
    wishes = ChoiceWishes(given.seeds, chosen_ways(given.ways), given.seconds, given.source, given.out, said)
    found = choosing.chosen(given.words, wishes, device=given.device, quiet=given.quiet)
    print(json.dumps(choosing.facts(*found)) if given.json else choosing.in_words(*found))
    return OK


def drain(comparison: Comparison, *, quiet: bool) -> None:
    """Run a comparison to its end, with a bar that counts its runs; where there is no terminal, one line of words."""
    if not quiet and not sys.stderr.isatty():
        print(f"{len(comparison.arms)} arms, {planned_runs(comparison.plan)} runs or more ...", file=sys.stderr)
    with tqdm(total=planned_runs(comparison.plan), unit="run", disable=quiet or not sys.stderr.isatty()) as bar:
        for trial in comparison:
            bar.total = max(bar.total, bar.n + 1)
            bar.set_description(trial.phase, refresh=False)
            bar.update()


def check_output(output: Path, *, make_folder: bool = False) -> None:
    """Raises RecipeError where a file cannot be written, before the work whose result it shall hold."""
    try:
        if make_folder:
            output.parent.mkdir(parents=True, exist_ok=True)
        there = output.exists()
        output.open("a").close()
        if not there:
            output.unlink()
    except OSError as error:
        raise RecipeError(f"Cannot write {output}: {error.strerror}.") from None


def sweep(given: argparse.Namespace) -> int:
    from lab.sweeps import command  # noqa: PLC0415  # draws with Plotly, which is slow to import

    wishes = Wishes(**{name: getattr(given, name) for name in vars(Wishes())})
    sweeping = command.prepared(given.words, wishes)
    if given.dry_run:
        plan = command.planned(sweeping, wishes)
        print(json.dumps(plan) if given.json else command.plan_in_words(plan, plain=wishes.plain))
        return OK
    if not command.carried_out(sweeping, wishes):
        print("lab: interrupted. Go on with the same command: what has ended is not trained again.", file=sys.stderr)
        return INTERRUPTED
    found = command.summarised(sweeping, wishes)
    print(json.dumps(command.facts_of(found, sweeping)) if given.json else command.in_words(found, sweeping))
    return BAD_RESULT if command.broken(found) else OK


def claim(given: argparse.Namespace) -> int:
    found = Claim.load(given.file)
    output = given.output or Path("runs") / "claims" / f"{found.name}.json"
    check_output(output, make_folder=True)
    finding, comparisons = found.tried(partial(drain, quiet=given.quiet), device=given.device)
    output.write_text(numbers(found, finding, comparisons) + "\n", encoding="utf-8")
    said = {"name": found.name, "claim": found.claim, "output": str(output)}
    said |= {"result": finding.result, "margin": finding.margin}
    print(json.dumps(said) if given.json else found.line(finding))
    if not given.json and not given.quiet:
        print(f"Numbers: {output}", file=sys.stderr)
    return OK if finding.result == "PASS" else BAD_RESULT


def examine_start(given: argparse.Namespace) -> int:
    recipe = read_recipe(given.words)
    found, table = examine(recipe, device=given.device), layer_table(recipe)
    if given.json:
        print(json.dumps({**found.facts(), "transfer": table.facts()}))
    else:
        print(found if recipe.transfer.name == "scratch" else f"{found}\n\n{table}")
    return OK


def try_rates(given: argparse.Namespace) -> int:
    recipe = read_recipe(given.words)
    found = range_test(recipe, device=given.device, **chosen(given, FLAGS["range"]))
    print(json.dumps(found.facts()) if given.json else found)
    return OK


def probe(given: argparse.Namespace) -> int:
    limits = chosen(given, FLAGS["probe"])
    found = label_probe(runs.open_run(given.folder), operations=given.operations or None, device=given.device, **limits)
    print(json.dumps(found.facts()) if given.json else found)
    return OK


def landscape(given: argparse.Namespace) -> int:
    from lab import landscape_command as command  # noqa: PLC0415  # draws with Plotly, which is slow to import

    lens = Lens(**chosen(given, vars(Lens())))
    view = View(**chosen(given, vars(View())), lens=lens)
    facts = command.landscape(
        given.words,
        view,
        given.output,
        device=given.device,
        quiet=given.quiet,
        numbers=given.numbers,
        edge=given.edge,
        replay=view.replay != View.replay,
    )
    print(json.dumps(facts) if given.json else command.in_words(facts))
    finished = all(run["ended"] == "finished" for run in facts["runs"]) and not facts["left_out"]
    return OK if finished else BAD_RESULT


def show_run(result: runs.Run, given: argparse.Namespace) -> int:
    best = result.best
    facts = {
        "status": result.status,
        "detail": result.detail,
        "id": result.recipe.id,
        "folder": str(result.folder),
        "steps": result.step,
        "seconds": round(result.seconds, 3),
        "best_epoch": best.epoch + 1 if best else None,
        "validation_accuracy": best.validation_accuracy if best else None,
        "validation_loss": best.validation_loss if best else None,
        "also": best.also if best else {},
        "gap": best.gap if best else None,
        "picked": picked(result.history),
        "problems": result.problems,
    }
    print(json.dumps(facts) if given.json else in_words(facts))
    if result.status == "stopped":
        print(f"Go on with: lab resume {result.folder}", file=sys.stderr)
    return {"finished": OK, "stopped": INTERRUPTED}.get(result.status, BAD_RESULT)


def in_words(facts: dict[str, Any]) -> str:
    taken = f"{facts['steps']} step{'s' * (facts['steps'] != 1)}"
    lines = [f"{facts['status']} after {taken}, {facts['seconds']:.1f} s: {facts['folder']}"]
    if facts["best_epoch"]:
        scores = f"loss {short_loss(facts['validation_loss'])}, accuracy {facts['validation_accuracy']:.4f}"
        lines.append(f"best validation accuracy at epoch {facts['best_epoch']}: {scores}{in_brackets(facts['picked'])}")
    if beside := facts["also"] | ({} if facts["gap"] is None else {"gap": facts["gap"]}):
        lines.append(f"beside it: {', '.join(f'{name} {value:.4f}' for name, value in beside.items())}")
    return "\n".join([*lines, *filter(None, [facts["detail"]]), *facts["problems"]])


def in_brackets(text: str) -> str:
    return f" ({text})" if text else ""


def test(given: argparse.Namespace) -> int:
    result = runs.open_run(given.folder)
    lost = forgotten(result, given.device) if given.forgotten else None  # it may be refused, before a look is spent
    loss, accuracy = result.test(given.device)
    facts = {"test_loss": loss, "test_accuracy": accuracy, "test_looks": result.test_looks}
    words = f"test loss {short_loss(loss)}, accuracy {accuracy:.4f} (look number {result.test_looks} at the test split)"
    if lost:
        facts, words = facts | {"forgotten": asdict(lost)}, f"{words}\n{lost}"
    print(json.dumps(facts) if given.json else words)
    return OK


def show_app(given: argparse.Namespace) -> int:
    place, panels = app.new_place(given.port), app.Panels(given.folder or app.Panels().folder, given.options)
    words = f"The panel is at {place.address}\nCtrl-C ends it, and what trains in it."
    said = json.dumps({"address": place.address}) if given.json else words
    app.serve(place, panels, lambda: print(said, flush=True))
    return OK


def list_runs(given: argparse.Namespace) -> int:
    if not given.root.is_dir() and given.root != ROOT:  # where nobody has trained yet, there is no such folder
        raise RunError(f"There is no folder {given.root}.")
    found = runs.listed(given.root)
    if given.json:
        print(run_tables.as_json(found))
    elif found:
        print(run_tables.in_words(found))
    else:
        print(f"No runs under {given.root} yet. Start one: lab run")
    return OK


def options(given: argparse.Namespace) -> int:
    chosen = kinds_of(given.kind)
    print(json.dumps(schemas(chosen)) if given.json else listing(chosen, given.kind))
    return OK


def export(given: argparse.Namespace) -> int:
    recipe = read_recipe(given.words)
    if given.output:
        check_output(given.output)
    text = script(recipe)
    if given.output:
        given.output.write_text(text, encoding="utf-8")
    if given.json:
        print(json.dumps({"id": recipe.id, "output": str(given.output) if given.output else None, "script": text}))
    elif not given.output:
        print(text, end="")
    elif not given.quiet:
        print(
            f"Wrote {given.output}: python {given.output} trains, prints each epoch and leaves the weights in {KEPT}."
        )
    return OK


def fetch_data(given: argparse.Namespace) -> int:
    place = fetch_weights(given.name) if given.name in get_args(KnownWeights) else fetch(given.name)
    facts = {"name": given.name, "folder": str(place)}
    print(json.dumps(facts) if given.json else f"{given.name} is in {place}")
    return OK


def diagnose(given: argparse.Namespace) -> int:
    facts = doctor.examine()
    width = max(map(len, facts))
    print(json.dumps(facts) if given.json else "\n".join(f"{name:{width}}  {state}" for name, state in facts.items()))
    return OK


ACTIONS: dict[str, Callable[[argparse.Namespace], int]] = {
    "run": run,
    "resume": resume,
    "test": test,
    "examine": examine_start,
    "range": try_rates,
    "probe": probe,
    "landscape": landscape,
    "compare": compare,
    "labels": count_labels,
    "choose": choose,
    "sweep": sweep,
    "claim": claim,
    "app": show_app,
    "runs": list_runs,
    "options": options,
    "export": export,
    "fetch": fetch_data,
    "doctor": diagnose,
}

if __name__ == "__main__":
    sys.exit(main())
