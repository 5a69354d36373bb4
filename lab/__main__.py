"""The command `lab`: run, resume, test, examine, range, probe, landscape, compare, claim, runs, options,
export, fetch, doctor."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, get_args

from tqdm import tqdm

from lab import doctor, runs
from lab.catalogue import RecipeError, unknown
from lab.claims import Claim, numbers
from lab.compare import Comparison
from lab.data import DataError, fetch
from lab.data.published import READERS
from lab.diagnostics import examine, label_probe, range_test
from lab.diagnostics.label_probe import IMAGES, STRENGTHS
from lab.diagnostics.range_test import HIGH, LOW, REPEATS, STEPS
from lab.export import KEPT, script
from lab.layer_tables import layer_table
from lab.option_tables import KINDS, listing
from lab.plans import Plan, planned_runs
from lab.reading import parse_overrides
from lab.recipe import CATALOGUES, Recipe
from lab.reports import facts, report
from lab.steps import DeviceError, is_out_of_memory, no_memory, pick_device
from lab.store import RunError
from lab.transfer import SourceError, fetch_weights
from lab.transfer.names import KnownWeights
from lab.views import CHOICES, Lens, View

ROOT = Path("runs")
OK, BAD_INPUT, BAD_RESULT, INTERRUPTED = 0, 2, 3, 130
RANGE = (
    ("low", float, LOW, "first rate"),
    ("high", float, HIGH, "last rate"),
    ("steps", int, STEPS, "updates in each repeat"),
    ("repeats", int, REPEATS, "passes, each with an initialisation and an order of batches of its own"),
)
LANDSCAPE_WORDS = "1 to 8 recipes, which are trained, then changes to all of them; or folders of finished runs"
VIEW = (
    (
        "plane",
        str,
        "where it is cut: {choices} (default: the runs' paths; random for finished runs); hessian is the plane of "
        "the two sharpest directions at the end of one run",
    ),
    ("size", int, "points along a side (default: {default})"),
    ("normalisation", str, "of random directions: {choices} (default: {default})"),
)
LENS = (
    ("samples", int, "images to measure on, at most (default: {default:,})"),
    ("split", str, "which images: {choices} (default: {default})"),
    ("batchnorm", str, "statistics of batch normalisation: {choices} (default: {default})"),
    ("seed", int, "of random directions and of the images' draw (default: {default})"),
)
EXITS = (
    "exit codes: 0 done; 2 bad input; 3 the run diverged, got stuck or ran out of memory, or the claim did not pass; "
    "130 stopped by Ctrl-C"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; errors that a person can mend go to stderr in words, without a traceback."""
    given = parsed(arguments)
    try:
        return given.action(given)
    except (RecipeError, DataError, SourceError, RunError, DeviceError) as error:
        print(f"lab: {error}", file=sys.stderr)
        return BAD_INPUT
    except (MemoryError, RuntimeError) as error:  # a run says it in its status; what only looks has none
        if not is_out_of_memory(error):
            raise
        print(f"lab: {no_memory(pick_device(getattr(given, 'device', None)))}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:  # before or after training; in it, Ctrl-C ends the step first
        print("lab: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # `lab options | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Flags and words in any order: argparse alone takes no word that follows a flag which follows a word."""
    root = parser()
    given, rest = root.parse_known_args(arguments)
    flags = [word for word in rest if word.startswith("-")]
    if flags or (rest and "words" not in given):
        root.error(f"unrecognized arguments: {' '.join(flags or rest)}")
    if rest:
        given.words = [*given.words, *rest]
    return given


def parser() -> argparse.ArgumentParser:
    root = argparse.ArgumentParser(prog="lab", description=__doc__, epilog=EXITS, allow_abbrev=False)
    commands = root.add_subparsers(required=True, metavar="COMMAND")
    machine = argparse.ArgumentParser(add_help=False)
    machine.add_argument("--json", action="store_true", help="print one JSON document, for machines")
    recipe = argparse.ArgumentParser(add_help=False)
    recipe.add_argument(
        "words", nargs="*", metavar="RECIPE.yaml | key=value", help="a recipe's file, then changes to it"
    )
    where = argparse.ArgumentParser(add_help=False)
    where.add_argument("--device", help="cpu, cuda, ...; the best there is by default")
    where.add_argument("--quiet", action="store_true", help="no progress")

    def add(name: str, action: Any, sentence: str, *parents: argparse.ArgumentParser) -> argparse.ArgumentParser:
        command = commands.add_parser(
            name, help=sentence, description=sentence, parents=parents, epilog=EXITS, allow_abbrev=False
        )
        command.set_defaults(action=action)
        return command

    command = add("run", run, "train a recipe and keep the run in a folder", recipe, where, machine)
    command.add_argument("--folder", type=Path, help="where to keep the run (default: a new folder under runs/)")
    for name, action, sentence in (
        ("resume", resume, "go on with a stopped or killed run, to the same numbers"),
        ("test", test, "look at the test split with a run's weights; looks are counted"),
    ):
        add(name, action, sentence, where, machine).add_argument("folder", type=Path)
    add(
        "examine",
        examine_start,
        "look at signal and gradient of each layer before the first step",
        recipe,
        where,
        machine,
    )
    command = add("range", try_rates, "try rates that grow at every step, and suggest some", recipe, where, machine)
    for name, kind, usual, words in RANGE:
        command.add_argument(f"--{name}", type=kind, default=usual, help=f"{words} (default: {usual:g})")
    command = add("probe", probe, "which augmentations keep an image's class, as a trained run sees it", where, machine)
    command.add_argument("folder", type=Path)
    command.add_argument("operations", nargs="*", metavar="OPERATION", help="augmentations to try (default: all)")
    for name, usual, words in (
        ("strengths", STRENGTHS, "places of each slider"),
        ("images", IMAGES, "validation images, at most"),
    ):
        command.add_argument(f"--{name}", type=int, default=usual, help=f"{words} (default: {usual:,})")
    command = add(
        "landscape", landscape, "the loss around runs in the space of their weights, as pages", where, machine
    )
    command.add_argument("words", nargs="*", metavar="RECIPE.yaml | runs/FOLDER | key=value", help=LANDSCAPE_WORDS)
    for given, table in ((View(), VIEW), (Lens(), LENS)):
        for name, kind, words in table:
            usual, choices = getattr(given, name), " | ".join(CHOICES.get(name, ()))
            command.add_argument(
                f"--{name}", type=kind, default=usual, help=words.format(default=usual, choices=choices)
            )
    command.add_argument("--output", type=Path, help="where to keep it (default: a new folder under landscapes/)")
    command.add_argument(
        "--numbers", action="store_true", help="eigenvalues, trace and sharpness too; longer than the picture takes"
    )
    command = add("compare", compare, "compare arms fairly: at the rates given and each at its own", where, machine)
    command.add_argument("words", nargs="+", metavar="PLAN.yaml | key=value", help="a comparison's file, then changes")
    command.add_argument("--folder", type=Path, help="keep the trials there; the same folder goes on where it was left")
    command = add("claim", claim, "try out what a paper says: PASS, FAIL or INCONCLUSIVE, in one line", where, machine)
    command.add_argument("file", type=Path, help="a claim's file, for example recipes/claims/NAME.yaml")
    command.add_argument("--output", type=Path, help="where the numbers go (default: runs/claims/NAME.json)")
    command = add("runs", list_runs, "list the runs under a folder, damaged ones included", machine)
    command.add_argument("root", nargs="?", type=Path, default=ROOT)
    command = add("options", options, "list the options: settings with default, valid and usual range; source", machine)
    command.add_argument("kind", nargs="?", help=" | ".join(KINDS))
    command = add("export", export, "turn a recipe or a run into a stand-alone PyTorch script", recipe, machine)
    command.add_argument("--quiet", action="store_true", help="do not say what was written")
    command.add_argument("--output", type=Path, help="the script's file (default: print it)")
    command = add("fetch", fetch_data, "download a published data set, or weights of torchvision", machine)
    weights = "NAME_Weights.VERSION, as `lab options sources` lists them"
    command.add_argument("name", help=" | ".join([*READERS, weights]))
    add("doctor", diagnose, "say what this machine has: Python, torch, GPU, data sets, browser, disk", machine)
    return root


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
    folder = given.folder or runs.new_folder(recipe)
    try:
        result = runs.train(recipe, folder=folder, device=given.device, progress=not given.quiet)
    except ValueError:  # no data, no device: nothing was trained
        if given.folder is None:
            folder.rmdir()
        raise
    return show_run(result, given)


def resume(given: argparse.Namespace) -> int:
    return show_run(runs.resume(given.folder, device=given.device, progress=not given.quiet), given)


def compare(given: argparse.Namespace) -> int:
    path, *changes = given.words
    plan = Plan.load(path, parse_overrides(changes))
    comparison = Comparison(plan, folder=given.folder, device=given.device)
    drain(comparison, quiet=given.quiet)
    print(json.dumps(facts(comparison)) if given.json else report(comparison))
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


def claim(given: argparse.Namespace) -> int:
    found = Claim.load(given.file)
    output = given.output or Path("runs") / "claims" / f"{found.name}.json"
    try:  # before minutes of training
        output.parent.mkdir(parents=True, exist_ok=True)
        there = output.exists()
        output.open("a").close()
        if not there:
            output.unlink()
    except OSError as error:
        raise RecipeError(f"Cannot write {output}: {error.strerror}.") from None
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
    rates = {name: getattr(given, name) for name, *_ in RANGE}
    recipe = read_recipe(given.words)
    found = range_test(recipe, device=given.device, **rates)
    print(json.dumps(found.facts()) if given.json else found)
    return OK


def probe(given: argparse.Namespace) -> int:
    limits = {"strengths": given.strengths, "images": given.images}
    found = label_probe(runs.open_run(given.folder), operations=given.operations or None, device=given.device, **limits)
    print(json.dumps(found.facts()) if given.json else found)
    return OK


def landscape(given: argparse.Namespace) -> int:
    from lab import landscape_command as command  # noqa: PLC0415  # draws with Plotly, which is slow to import

    lens = Lens(**{name: getattr(given, name) for name, *_ in LENS})
    view = View(**{name: getattr(given, name) for name, *_ in VIEW}, lens=lens)
    facts = command.landscape(
        given.words, view, given.output, device=given.device, quiet=given.quiet, numbers=given.numbers
    )
    print(json.dumps(facts) if given.json else command.in_words(facts))
    return OK if all(run["ended"].startswith("finished") for run in facts["runs"]) else BAD_RESULT


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
        scores = f"loss {facts['validation_loss']:.4f}, accuracy {facts['validation_accuracy']:.4f}"
        lines.append(f"best validation accuracy at epoch {facts['best_epoch']}: {scores}")
    return "\n".join([*lines, *filter(None, [facts["detail"]]), *facts["problems"]])


def test(given: argparse.Namespace) -> int:
    result = runs.open_run(given.folder)
    loss, accuracy = result.test(given.device)
    facts = {"test_loss": loss, "test_accuracy": accuracy, "test_looks": result.test_looks}
    words = f"test loss {loss:.4f}, accuracy {accuracy:.4f} (look number {result.test_looks} at the test split)"
    print(json.dumps(facts) if given.json else words)
    return OK


def list_runs(given: argparse.Namespace) -> int:
    if not given.root.is_dir() and given.root != ROOT:  # where nobody has trained yet, there is no such folder
        raise RunError(f"There is no folder {given.root}.")
    table = runs.table(given.root)
    if given.json:
        print(table.to_json(orient="records"))
    else:
        print(
            table.to_string(index=False, na_rep="")
            if len(table)
            else f"No runs under {given.root} yet. Start one: lab run"
        )
    return OK


def options(given: argparse.Namespace) -> int:
    if given.kind not in (None, *KINDS):
        raise RecipeError(unknown("kind of option", given.kind, KINDS))
    chosen = {kind: CATALOGUES[field] for kind, field in KINDS.items() if given.kind in (None, kind)}
    if given.json:
        print(
            json.dumps(
                {kind: {name: model.model_json_schema() for name, model in c.items()} for kind, c in chosen.items()}
            )
        )
    else:
        print(listing(chosen))
    return OK


def export(given: argparse.Namespace) -> int:
    recipe = read_recipe(given.words)
    text = script(recipe)
    if given.output:
        try:
            given.output.write_text(text, encoding="utf-8")
        except OSError as error:
            raise RecipeError(f"Cannot write {given.output}: {error.strerror}.") from None
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


if __name__ == "__main__":
    sys.exit(main())
