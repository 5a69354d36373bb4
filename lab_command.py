"""The words of the command `lab`, read before anything that is slow to import.

They stand outside the package: whatever is imported from `lab` brings torch with it, which takes seconds, and help or a
mistyped word should not wait for that. What a command then does is in `lab/__main__.py`.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

COMMANDS = {
    "run": "train a recipe and keep the run in a folder",
    "resume": "go on with a stopped or killed run, to the same numbers",
    "test": "look at the test split with a run's weights; looks are counted",
    "examine": "look at signal and gradient of each layer before the first step",
    "range": "try rates that grow at every step, and suggest some",
    "probe": "which augmentations keep an image's class, as a trained run sees it",
    "landscape": "the loss around runs in the space of their weights, as pages",
    "compare": "compare arms fairly: at the rates given and each at its own",
    "labels": "accuracy against labels of each class: from scratch, and with each transfer of the recipe's source",
    "choose": "which way of using pretrained weights suits your own images; leaves script, weights and model card",
    "sweep": "train a grid, a list or random draws of recipes, over processes or a Ray cluster",
    "claim": "try out what a paper says: PASS, FAIL or INCONCLUSIVE, in one line",
    "app": "serve the panel alone, by Voila: to this machine only, to whoever has the token",
    "runs": "list the runs under a folder, damaged ones included",
    "options": "list the options: settings with default, valid and usual range; source",
    "export": "turn a recipe or a run into a stand-alone PyTorch script",
    "fetch": "download a published data set, or weights of torchvision",
    "doctor": "say what this machine has: Python, torch, GPU, data sets, browser, disk",
}
RECIPES = ("run", "examine", "range", "labels", "export")  # what is given is a recipe
TRAINING = (
    *("run", "resume", "test", "examine", "range", "probe"),
    *("landscape", "compare", "labels", "choose", "sweep", "claim"),
)
WITH_OPTIONS = (*TRAINING, "app", "runs", "options", "export")  # what they read may name a person's own options
FLAGS: dict[str, dict[str, tuple[type, str]]] = {
    "range": {
        "low": (float, "first rate (default: {usual:g})"),
        "high": (float, "last rate (default: {usual:g})"),
        "steps": (int, "updates in each repeat (default: {usual})"),
        "repeats": (
            int,
            "passes, each with an initialisation and an order of batches of its own (default: {usual})",
        ),
    },
    "probe": {
        "strengths": (int, "places of each slider (default: {usual})"),
        "images": (int, "validation images, at most (default: {usual})"),
    },
    "labels": {
        "counts": (str, "labels of each class, with commas between; all: as many as there are (default: {usual})"),
        "transfers": (str, "that scratch is compared with, with commas between, of {choices} (default: {usual})"),
        "seeds": (int, "paired seeds of each transfer at each number of labels (default: {usual})"),
        "rates": (int, "tried for each transfer at each number of labels; 0 takes the recipe's (default: {usual})"),
    },
    "choose": {
        "seeds": (int, "paired seeds of each way, if they fit into the seconds (default: {usual})"),
        "ways": (str, "with commas between, of {choices} (default: all)"),
        "seconds": (float, "for all of it; what it will take is said before (default: {usual:g})"),
        "source": (
            str,
            "whose weights: efficientnet_lite0, the folder of a finished run, a file (then with model=...), or "
            "torchvision's by name (default: {usual})",
        ),
    },
    "app": {"port": (int, "where it listens: this one, or the next that is free (default: {usual})")},
    "sweep": {
        "engine": (str, "{choices} (default: {usual}, of this machine)"),
        "address": (str, "of the Ray cluster; local: one of its own (default: {usual})"),
        "processes": (int, "how many train at once (default: {usual}, one on each core or share of a GPU)"),
        "retries": (int, "more attempts at a point that broke, or whose process was lost (default: {usual})"),
    },
    "landscape": {
        "plane": (
            str,
            "where it is cut: {choices} (default: the runs' paths; random for finished runs); hessian is the plane of "
            "the two sharpest directions at the end of one run",
        ),
        "size": (int, "points along a side (default: {usual})"),
        "exact": (
            int,
            "points along a side that are measured: a spline, whose error is printed, gives the others (default: all)",
        ),
        "replay": (
            int,
            "of how many earlier snapshots, at most, the page has a surface too: each costs 33 points, and 0 is for "
            "none, as finished runs have (default: {usual})",
        ),
        "normalisation": (str, "of random directions: {choices} (default: {usual})"),
        "precision": (
            str,
            "of the surface: {choices} (default: the recipe's, bfloat16 as float32); bfloat16 says what it is off by",
        ),
        "samples": (int, "images to measure on, at most (default: {usual:,})"),
        "enough": (
            float,
            "how large standard errors may be, in heights of a level: as many images are taken as that needs; 0 takes "
            "all of --samples (default: {usual})",
        ),
        "split": (str, "which images: {choices} (default: {usual})"),
        "batchnorm": (str, "statistics of batch normalisation: {choices} (default: {usual})"),
        "seed": (int, "of random directions and of the images' draw (default: {usual})"),
    },
}
ROOT = Path("runs")
EXITS = (
    "exit codes: 0 done; 2 bad input; 3 the run diverged, got stuck or ran out of memory, or the claim did not pass; "
    "130 stopped by Ctrl-C"
)


class Known(NamedTuple):
    """What only the package knows, and help tells: the default of each flag, and the choices of flags and words."""

    usual: Mapping[str, Any] = {}
    choices: Mapping[str, Iterable[str]] = {}


def main(arguments: Sequence[str] | None = None) -> int:
    """Answer what needs no torch, and leave the rest to the package."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not wants_help_with_a_command(words):
        parsed(words, Known())  # enough to find what is wrong with the words
    from lab.__main__ import main as act  # noqa: PLC0415  # brings torch

    return act(words)


def wants_help_with_a_command(words: Sequence[str]) -> bool:
    """Such help names defaults."""
    return bool(words) and words[0] in COMMANDS and not {"-h", "--help"}.isdisjoint(words)


def parsed(arguments: Sequence[str] | None, known: Known) -> argparse.Namespace:
    """Flags and words in any order: argparse alone takes no word that follows a flag which follows a word.

    As `typed` they are there once more, as they were given.
    """
    root, commands = parsers(known)
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words and not words[0].startswith("-") and words[0] not in COMMANDS:
        root.error(f"unknown command {words[0]!r}.{nearest(words[0], COMMANDS)} Expected one of: {', '.join(COMMANDS)}")
    given, rest = root.parse_known_args(words)
    flags = [word for word in rest if word.startswith("-")]
    if flags or (rest and "words" not in given):
        hint = flag_hint(flags[0], commands[given.command], choices="words" in given) if flags else ""
        root.error(f"unrecognized arguments: {' '.join(flags or rest)}{hint}")
    if rest:
        given.words = [*given.words, *rest]
    given.typed = words
    return given


def nearest(word: str, there: Iterable[str]) -> str:
    close = get_close_matches(word, list(there), n=1)
    return f" Did you mean {close[0]}?" if close else ""


def flag_hint(word: str, command: argparse.ArgumentParser, *, choices: bool) -> str:
    """The flag that may be meant, or how a choice is written where the command takes choices."""
    near = nearest(word, re.findall(r"--\w+", command.format_usage()))
    if not near and choices:
        near = f" Choices are written without dashes: {word.lstrip('-')}=..."
    return f".{near}" if near else ""


def parsers(known: Known) -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    """The whole command's, and that of each command by name."""
    description = f"The command `lab`: {', '.join(COMMANDS)}."
    root = argparse.ArgumentParser(prog="lab", description=description, epilog=EXITS, allow_abbrev=False)
    places = root.add_subparsers(required=True, metavar="COMMAND", dest="command")
    found = {name: command(places, name, known) for name in COMMANDS}
    add_words(found, known)
    add_folders(found)
    add_engines(found["sweep"])
    return root, found


def command(places: Any, name: str, known: Known) -> argparse.ArgumentParser:
    """A command with the flags that several have, and those for numbers."""
    sentence = COMMANDS[name]
    made = places.add_parser(name, help=sentence, description=sentence, epilog=EXITS, allow_abbrev=False)
    if name in TRAINING:
        made.add_argument("--device", help="cpu, cuda, ...; the best there is by default")
        made.add_argument("--quiet", action="store_true", help="no progress")
    made.add_argument("--json", action="store_true", help="print one JSON document, for machines")
    if name in WITH_OPTIONS:
        made.add_argument(
            "--options",
            action="append",
            type=Path,
            default=[],
            metavar="FILE.py",
            help="a Python file of yours that adds options, executed first; may be given again",
        )
    for flag, (kind, words) in FLAGS.get(name, {}).items():
        usual, choices = known.usual.get(flag), " | ".join(known.choices.get(flag, ()))
        said = words.format(usual=usual, choices=choices) if known.usual else ""
        made.add_argument(f"--{flag}", type=kind, default=usual, help=said)
    return made


def add_words(found: Mapping[str, argparse.ArgumentParser], known: Known) -> None:
    """What follows a command without a dash, but folders."""
    for name in RECIPES:
        found[name].add_argument(
            "words", nargs="*", metavar="RECIPE.yaml | key=value", help="a recipe's file, then changes to it"
        )
    found["landscape"].add_argument(
        "words",
        nargs="*",
        metavar="RECIPE.yaml | runs/FOLDER | key=value",
        help="1 to 8 recipes, which are trained, then changes to all of them; or folders of finished runs",
    )
    found["compare"].add_argument(
        "words", nargs="+", metavar="PLAN.yaml | key=value", help="a comparison's file, then changes"
    )
    found["sweep"].add_argument(
        "words", nargs="+", metavar="SWEEP.yaml | key=value", help="a sweep's file, then changes"
    )
    found["choose"].add_argument(
        "words", nargs="+", metavar="PATH | key=value", help="one folder of images per class in PATH, then changes"
    )
    found["claim"].add_argument("file", type=Path, help="a claim's file, for example recipes/claims/NAME.yaml")
    kinds = " | ".join(known.choices.get("kind", ()))
    found["options"].add_argument("kind", nargs="?", help=f"{kinds}; or the name of one option")
    weights = "NAME_Weights.VERSION, as `lab options sources` lists them"
    found["fetch"].add_argument("name", help=" | ".join([*known.choices.get("name", ()), weights]))


def add_folders(found: Mapping[str, argparse.ArgumentParser]) -> None:
    """What is read and where it is kept."""
    for name in ("resume", "test", "probe"):
        found[name].add_argument("folder", type=Path)
    found["probe"].add_argument(
        "operations", nargs="*", metavar="OPERATION", help="augmentations to try (default: all)"
    )
    found["runs"].add_argument("root", nargs="?", type=Path, default=ROOT)
    kept = {
        "run": ("--folder", "where to keep the run (default: a new folder under runs/)"),
        "app": ("--folder", "where to keep the runs, each in a folder of its own (default: runs/)"),
        "sweep": ("--folder", "keep everything there, to go on from (default: runs/sweeps/NAME)"),
        "compare": ("--folder", "keep the trials there; the same folder goes on where it was left"),
        "labels": ("--folder", "where all of it goes; the same folder goes on (default: a folder under labels/)"),
        "choose": ("--out", "where all of it goes; the same folder goes on (default: choices/ and the folder's name)"),
        "claim": ("--output", "where the numbers go (default: runs/claims/NAME.json)"),
        "landscape": ("--output", "where to keep it (default: a new folder under landscapes/)"),
        "export": ("--output", "the script's file (default: print it)"),
    }
    for name, (flag, words) in kept.items():
        found[name].add_argument(flag, type=Path, help=words)
    found["landscape"].add_argument(
        "--numbers", action="store_true", help="eigenvalues, trace and sharpness too; longer than the picture takes"
    )
    found["landscape"].add_argument(
        "--edge",
        action="store_true",
        help="the edge of stability: the top eigenvalue at each snapshot beside what the rate bears; read "
        "between two steps, and longer than the picture takes",
    )
    found["test"].add_argument(
        "--forgotten",
        action="store_true",
        help="also how much it has forgotten of the task of the run that it took its weights from: a look at that "
        "one's test images",
    )
    found["export"].add_argument("--quiet", action="store_true", help="do not say what was written")


def add_engines(sweep: argparse.ArgumentParser) -> None:
    """How a sweep is done; none of it decides a number."""
    sweep.add_argument("--dry-run", action="store_true", help="say what would be done and what it costs, and stop")
    sweep.add_argument("--plain", action="store_true", help="without a notebook for each point: faster, no reports")
    sweep.add_argument(
        "--gpus-per-run", type=float, help="share of a GPU for each run, e.g. 0.5 (default: a whole one)"
    )


if __name__ == "__main__":
    sys.exit(main())
