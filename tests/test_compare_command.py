"""`lab compare`: a plan's file and changes to it, a report or JSON, a folder, and words for what is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lab.__main__ import main
from lab.compare import Comparison
from lab.reports import report

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def plan_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = Path("plan.yaml")
    path.write_text(
        "base: {modify: {name: subset, per_class: 10}, model: {name: mlp, width: 16}, epochs: 2, batch_size: 25}\n"
        "arms: {sgd: , adam: {optimizer: {name: adam, lr: 0.01}}}\n"
        "seeds: 2\ntrials: 3\ntuning_seeds: 2\n"
    )
    return path


def without_cost(text: str) -> str:
    """The report up to its last paragraph, where seconds stand, and so decide where its lines end."""
    return text.partition("\nCost: ")[0]


def test_the_command_prints_the_report(plan_file: Path, two: Comparison, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(plan_file), "--device", "cpu"]) == 0
    printed = capsys.readouterr()
    assert without_cost(printed.out) == without_cost(report(two))
    assert printed.err == "2 arms, 16 runs or more ...\n"


def test_the_command_takes_changes_and_prints_json(plan_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changes = ["seeds=3", "tune=false", "base.epochs=1", "base.optimizer.momentum=0.5"]
    assert main(["compare", str(plan_file), *changes, "--device", "cpu", "--json", "--quiet"]) == 0
    printed = capsys.readouterr()
    found = json.loads(printed.out, parse_constant=pytest.fail)
    assert printed.err == ""
    assert list(found["arms"]) == ["sgd", "adam"]
    assert [trial["epochs"] for trial in found["trials"]] == [1] * 6
    assert list(found["verdicts"]) == list(found["cost"]) == ["given"]


def test_the_command_goes_on_in_its_folder(plan_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--device", "cpu", "--json", "--folder", "kept"]
    first, again, more = (
        trials_printed(["compare", str(plan_file), *changes, *options], capsys) for changes in ([], [], ["seeds=3"])
    )
    assert again == first  # seconds too: nothing was trained again
    assert len(set(more) - set(first)) == 4
    assert set(first) < set(more)
    assert main(["compare", str(plan_file), "trials=4", *options]) == 2
    assert (
        capsys.readouterr().err
        == "lab: kept holds another comparison (trials 3 there, 4 here). Choose another folder.\n"
    )


def trials_printed(command: list[str], capsys: pytest.CaptureFixture[str]) -> list[str]:
    assert main(command) == 0
    return sorted(map(json.dumps, json.loads(capsys.readouterr().out)["trials"]))


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("compare none.yaml", "lab: Cannot read the comparison none.yaml: No such file or directory."),
        ("compare seeds=3", "lab: Cannot read the comparison seeds=3: No such file or directory."),
        ("compare plan.yaml seeds", "lab: Override 'seeds' must look like optimizer.lr=0.3."),
        (
            "compare plan.yaml seeds=1",
            "lab: plan.yaml: seeds is 1, but must be a whole number at least 2 and at most 1000.",
        ),
        (
            "compare plan.yaml base.epochs=0",
            "lab: plan.yaml: base: epochs is 0, but must be a whole number at least 1 and at most 1000000 "
            "(usual: 1 to 200).",
        ),
    ],
)
def test_a_bad_command_exits_2_with_words_on_stderr(
    command: str, said: str, plan_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command.split(), "--device", "cpu"]) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", f"{said}\n")


@pytest.mark.parametrize("change", ["path=3", "cls=3"])
def test_a_change_that_python_uses_is_refused_in_words(
    change: str, plan_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", str(plan_file), change, "--device", "cpu"]) == 2
    assert capsys.readouterr().err.startswith(f"lab: plan.yaml: Unknown plan key '{change[:-2]}'. Expected one of: ")
