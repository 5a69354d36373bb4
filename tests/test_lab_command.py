"""The command's words are read without torch: help and what is mistyped are answered at once."""

from __future__ import annotations

import subprocess
import sys

import pytest

from lab.__main__ import ACTIONS, known
from lab_command import COMMANDS, FLAGS, Known, parsed, parsers

HEAVY = "{'torch', 'numpy', 'pydantic', 'yaml', 'lab'}"


def left_with(words):
    """Exit code, what was printed where, and which heavy modules were imported on the way."""
    look = f"import atexit, sys; atexit.register(lambda: print('BROUGHT', sorted({HEAVY} & set(sys.modules))))"
    code = f"{look}; from lab_command import main; sys.exit(main({words!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    out, _, brought = done.stdout.partition("BROUGHT ")
    return done.returncode, out, done.stderr, brought.strip()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--help"], 0, "train a recipe and keep the run in a folder"),
        ([], 2, "lab: error: the following arguments are required: COMMAND"),
        (["rum"], 2, "lab: error: unknown command 'rum'. Did you mean run? Expected one of: run, resume, "),
        (["rum", "--help"], 2, "unknown command 'rum'. Did you mean run?"),
        (["run", "--quite"], 2, "lab: error: unrecognized arguments: --quite. Did you mean --quiet?"),
        (["landscape", "--size", "big"], 2, "lab landscape: error: argument --size: invalid int value: 'big'"),
    ],
)
def test_help_and_mistyped_words_are_answered_without_torch(words, code, said):
    left, out, complaint, brought = left_with(words)
    assert (left, brought) == (code, "[]")
    assert said in (out if code == 0 else complaint)


def test_words_that_are_right_are_handed_to_the_package(tmp_path):
    code, out, complaint, brought = left_with(["runs", str(tmp_path)])
    assert (code, out, complaint) == (0, f"No runs under {tmp_path} yet. Start one: lab run\n", "")
    assert "torch" in brought


def test_a_choice_with_dashes_is_told_how_choices_are_written(capsys):
    with pytest.raises(SystemExit):
        parsed(["run", "--epochs", "3"], Known())
    assert capsys.readouterr().err.endswith("--epochs. Choices are written without dashes: epochs=...\n")


def test_every_command_that_can_be_given_does_something():
    assert list(ACTIONS) == list(COMMANDS)


def test_the_package_knows_the_default_of_every_flag_and_tells_it_in_help():
    found = known()
    _, commands = parsers(found)
    for name, flags in FLAGS.items():
        assert set(flags) <= set(found.usual)
        assert "{" not in commands[name].format_help()
    assert "images to measure on, at most (default: 1,024)" in " ".join(commands["landscape"].format_help().split())
    assert "datasets | modifiers | models" in " ".join(commands["options"].format_help().split())
