"""A person's own options on the command line: from files that are named, and from nowhere else."""

from __future__ import annotations

import json
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import lab
from lab.__main__ import main
from lab.own_options import add_options
from lab.provenance import provenance
from lab_command import WITH_OPTIONS, Known, parsers

SIGN_SGD = '''
import torch

import lab

FACTOR = 1.0


@lab.optimizers.add
def sign_sgd(params, *, lr: float = 0.001):
    """Every weight takes a step of one size. Source: arXiv 1802.04434."""

    class SignSGD(torch.optim.Optimizer):
        @torch.no_grad()
        def step(self, closure=None):
            for group in self.param_groups:
                for weight in group["params"]:
                    weight -= FACTOR * group["lr"] * weight.grad.sign()

    return SignSGD(params, {"lr": lr})
'''
QUICK = ["--device", "cpu", "--quiet"]
HINT = " For one of your own, name its file: --options FILE.py.\n"


@pytest.fixture
def file(tmp_path: Path, own_options: None) -> Iterator[Path]:
    before = set(sys.modules)
    found = tmp_path / "mine.py"
    found.write_text(SIGN_SGD)
    yield found
    for name in set(sys.modules) - before:
        if name.startswith("the options of "):
            del sys.modules[name]


@pytest.fixture
def run(tmp_path: Path, file: Path) -> Path:
    """Of a process that has ended: this one knows nothing of its option any more."""
    folder = tmp_path / "runs" / "one"
    words = ["run", "optimizer=sign_sgd", "epochs=1", "--folder", str(folder), "--options", str(file), *QUICK]
    assert main(words) == 0
    forget()
    return folder


def forget() -> None:
    for kept in (lab.optimizers.functions, lab.optimizers._choices):
        del kept["sign_sgd"]


@pytest.mark.parametrize("command", ["resume", "test", "probe"])
def test_a_run_is_read_with_the_file_and_without_it_says_what_is_missing(
    command: str, run: Path, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [command, str(run), *(["vertical_flip"] if command == "probe" else []), *QUICK]
    capsys.readouterr()
    assert main(words) == 2
    said = capsys.readouterr().err
    assert "There is no readable run in" in said
    assert said.endswith(
        f" Its sign_sgd was defined by whoever trained it ({run / 'run.json'} keeps the source): define it again "
        f"first, in a shell with --options {file}.\n"
    )
    code = main([*words, "--options", str(file)])
    said = capsys.readouterr().err
    assert (code, said) == (0, "") or "has ended (finished); there is nothing to resume" in said


def test_runs_are_listed_with_the_file(run: Path, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    statuses = []
    for options in ([], ["--options", str(file)]):
        assert main(["runs", str(run.parent), "--json", *options]) == 0
        statuses += [row["status"] for row in json.loads(capsys.readouterr().out)]
    assert statuses == ["unknown option", "finished"]


def listed(run: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    capsys.readouterr()
    assert main(["runs", str(run.parent), "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    return row


def test_a_run_from_elsewhere_names_no_file_that_has_not_its_option(run: Path, file: Path, capsys) -> None:
    assert f"--options {file}." in listed(run, capsys)["problem"]
    facts = json.loads((run / "run.json").read_text())
    other = file.with_name("other.py")
    other.write_text("print('of somebody else')\n")
    facts["provenance"]["option_files"] = dict.fromkeys(facts["provenance"]["option_files"], str(other))
    (run / "run.json").write_text(json.dumps(facts))
    row = listed(run, capsys)
    assert row["status"] == "unknown option"
    assert "--options FILE.py." in row["problem"]


def test_a_damaged_recipe_is_damaged_whatever_options_the_run_had(run: Path, capsys) -> None:
    (run / "recipe.yaml").write_text("epochs: [")
    row = listed(run, capsys)
    assert row["status"] == "damaged"
    assert "--options" not in row["problem"]


@pytest.mark.parametrize("there", [True, False])
def test_a_list_says_which_file_the_run_needs_if_that_is_known(
    there: bool, run: Path, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if not there:
        file.unlink()
    capsys.readouterr()
    assert main(["runs", str(run.parent)]) == 0
    said = capsys.readouterr().out
    assert "damaged" not in said
    wanted = file if there else "FILE.py"
    assert said.endswith(
        f"\n(1) Whoever trained it has defined its sign_sgd, which is not known here: give --options {wanted}.\n"
    )


def test_of_an_option_from_elsewhere_no_file_is_kept(own_options: None, tmp_path: Path) -> None:
    @lab.activations.add
    def squared_relu() -> torch.nn.Module:
        """The square of what is positive. f(x) = max(0, x)^2. Source: So et al. 2021, arXiv 2109.08668."""
        return torch.nn.ReLU()

    found = provenance(lab.Training(lab.Recipe(activation="squared_relu"), device="cpu"))
    assert list(found["custom_options"]) == ["activation.squared_relu"]
    assert found["option_files"] == {}


def test_the_script_of_such_a_run_stands_alone(run: Path, file: Path, tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    assert main(["export", str(run), "--options", str(file), "--output", str(script), "--quiet"]) == 0
    losses, _ = runpy.run_path(str(script))["main"]()
    assert losses == lab.open_run(run).history.loss


def test_an_option_of_the_scripts_own_names_is_refused_in_words(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clash = tmp_path / "clash.py"
    clash.write_text(file.read_text(encoding="utf-8").replace("sign_sgd", "evaluate"), encoding="utf-8")
    assert main(["export", "optimizer=evaluate", "--options", str(clash)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("lab: The script has something of its own that is called 'evaluate': rename")


def test_an_unknown_option_says_how_it_would_be_known(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "optimizer=sign_sgd", *QUICK]) == 2
    assert capsys.readouterr().err.endswith(HINT)
    assert main(["run", "epochs=0", *QUICK]) == 2
    assert not capsys.readouterr().err.endswith(HINT)


def test_it_is_listed_beside_the_labs_own(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["options", "optimizers", "--options", str(file)]) == 0
    assert "\n  sign_sgd: Every weight takes a step of one size.\n      lr=0.001" in capsys.readouterr().out


def test_code_in_a_runs_folder_is_never_executed(run: Path) -> None:
    facts = json.loads((run / "run.json").read_text())
    assert "class SignSGD" in facts["provenance"]["custom_options"]["optimizer.sign_sgd"]
    facts["provenance"]["custom_options"]["optimizer.sign_sgd"] = "raise SystemExit('executed')"
    (run / "run.json").write_text(json.dumps(facts))
    (run / "options.py").write_text("raise SystemExit('executed')")
    assert main(["test", str(run), *QUICK]) == 2
    assert "sign_sgd" not in lab.optimizers


def test_several_files_of_one_name(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere" / "mine.py"
    other.parent.mkdir()
    other.write_text(SIGN_SGD.replace("sign_sgd", "signed"))
    add_options([file, other, file])
    assert {"sign_sgd", "signed"} <= set(lab.optimizers)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import nothing_of_this_name", ", line 1: ModuleNotFoundError: No module named 'nothing_of_this_name'"),
        ("\n1 +", ", line 2: SyntaxError: invalid syntax"),
        (SIGN_SGD.replace("sign_sgd", "adam"), "optimizer 'adam' exists already, in lab.optimizers.each_weight."),
        (SIGN_SGD.replace("lr: float = 0.001", "lr"), "setting 'lr' needs a type and a default."),
        (None, "Cannot read the options PLACE: No such file or directory."),
    ],
)
def test_a_file_that_cannot_be_used_says_why(text: str | None, said: str, file: Path) -> None:
    file.unlink() if text is None else file.write_text(text)
    with pytest.raises(lab.RecipeError) as error:
        add_options([file])
    assert said in str(error.value).replace(str(file), "PLACE")
    assert f"the options of {file}" not in sys.modules


def test_every_command_that_reads_recipes_or_runs_takes_files() -> None:
    _, commands = parsers(Known())
    taking = {name for name, command in commands.items() if "--options FILE.py" in command.format_help()}
    assert taking == set(WITH_OPTIONS) == set(commands) - {"doctor", "fetch"}


OWN_OPTIMIZERS = """
import torch
from lab.optimizers import optimizers


class Own(torch.optim.Optimizer):
    def step(self, closure{default}):
        pass


@optimizers.add
def of_ones_own(params):
    '''Does nothing.

    theta <- theta

    Source: this test.
    '''
    return Own(params, {groups})
"""


@pytest.mark.usefixtures("own_options")
@pytest.mark.parametrize(
    ("default", "groups", "said"),
    [
        ("=None", "{}", "Optimizer of_ones_own keeps no rate: give its groups an 'lr', which schedules then set."),
        (
            "",
            "{'lr': 0.1}",
            "Optimizer of_ones_own wants to compute the loss itself, but a step here has gradients alone.",
        ),
    ],
)
def test_an_optimizer_that_cannot_be_stepped_here_says_why(
    default: str, groups: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "own.py"
    file.write_text(OWN_OPTIMIZERS.format(default=default, groups=groups))
    assert main(["run", "--options", str(file), "optimizer=of_ones_own", "--device", "cpu", "--quiet"]) != 0
    assert said in capsys.readouterr().err
