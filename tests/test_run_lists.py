"""The list of runs: what lies under a folder and is a run, whole or damaged."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from safetensors import safe_open
from small_comparisons import FEW, TWO, Pretended, by_distance

import lab
from lab import runs
from lab.__main__ import main
from lab.progress import short_loss
from lab.store import Recorder

pytestmark = pytest.mark.usefixtures("one_thread")


def names(root: Path) -> list[str]:
    return [Path(folder).name for folder in runs.table(root)["folder"]]


def test_comparisons_claims_verdicts_and_empty_folders_are_no_runs(tmp_path: Path) -> None:
    lab.train(FEW.changed(epochs=1), folder=tmp_path / "run", progress=False, device="cpu")
    Pretended(TWO, by_distance, folder=tmp_path / "comparison").run()
    for folder in ("claims", "verdicts", "empty", ".hidden"):
        (tmp_path / folder).mkdir()
    for file in ("claims/alike.json", "verdicts/05.json"):
        (tmp_path / file).write_text("{}")
    (tmp_path / "file").write_text("mine")
    assert names(tmp_path) == ["run"]


def test_a_run_folder_in_which_nothing_was_written_is_listed_as_empty(tmp_path: Path) -> None:
    folders = [runs.new_folder(FEW, tmp_path) for _ in range(2)]
    (tmp_path / "20260101-notes").mkdir()
    found = runs.table(tmp_path)
    assert sorted(found["folder"]) == sorted(map(str, folders))
    assert set(found["status"]) == {"empty"}
    assert set(found["problem"]) == {"Nothing is in it: the run ended before its first step, or is about to begin."}


def test_damaged_runs_are_listed_with_what_is_wrong(tmp_path: Path) -> None:
    lab.train(FEW.changed(epochs=1), folder=tmp_path / "run", progress=False, device="cpu")
    recipe = next(path for path in (tmp_path / "run").iterdir() if path.name.startswith("recipe"))
    recipe.unlink()
    assert names(tmp_path) == ["run"]
    assert all(runs.table(tmp_path)["problem"])


def test_a_folder_of_any_name_has_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = "two\nlines\r\x1b[31m and a\ttab"
    lab.train(FEW.changed(epochs=1), folder=tmp_path / name, progress=False, device="cpu")
    (tmp_path / name / "history.json").unlink()
    assert main(["runs", str(tmp_path)]) == 0
    head, row, note = capsys.readouterr().out.splitlines()
    assert "two\\nlines\\r\\x1b[31m and a\\ttab" in row
    assert head.split()[0] == "folder"
    assert note.startswith("(1) ")


def test_a_loss_beyond_all_bounds_takes_no_more_room_than_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lab.train(FEW.changed(epochs=1), folder=tmp_path / "run", progress=False, device="cpu")
    history = tmp_path / "run" / "history.json"
    kept = json.loads(history.read_text(encoding="utf-8"))
    kept["epochs"][0]["validation_loss"] = 3.2e28
    history.write_text(json.dumps(kept), encoding="utf-8")
    assert main(["runs", str(tmp_path)]) == 0
    assert " 3.2e+28 " in capsys.readouterr().out


@pytest.mark.parametrize(("loss", "said"), [(1.5, "1.5000"), (-3.2e28, "-3.2e+28"), (float("nan"), "nan")])
def test_losses_in_words(loss: float, said: str) -> None:
    assert short_loss(loss) == said


def test_where_only_a_comparison_lies_there_are_no_runs_yet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Pretended(TWO, by_distance, folder=tmp_path / "comparison").run()
    assert main(["runs", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"No runs under {tmp_path} yet. Start one: lab run\n"
    assert main(["runs", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_a_list_leaves_weights_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.train(FEW.changed(epochs=1), folder=tmp_path / "finished", progress=False, device="cpu")
    Recorder(lab.Training(FEW, device="cpu"), tmp_path / "begun", checkpoint_seconds=0).close()
    whole = [run for folder in ("finished", "begun") if (run := lab.open_run(tmp_path / folder)).weights]
    monkeypatch.setattr("lab.store.safe_open", shut)
    assert len(whole) == 2
    assert list(runs.table(tmp_path)["problem"]) == ["", ""]
    with pytest.raises(AttributeError, match="get_tensor"):
        lab.open_run(tmp_path / "begun")


@contextmanager
def shut(path: Path, framework: str) -> Iterator[SimpleNamespace]:
    """A file whose tensors nobody can read."""
    with safe_open(path, framework=framework) as file:
        yield SimpleNamespace(metadata=file.metadata, keys=file.keys)


def test_numbers_are_printed_with_as_many_digits_as_mean_something(tmp_path: Path, capsys) -> None:
    lab.train(FEW.changed(epochs=1), folder=tmp_path / "run", progress=False, device="cpu")
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "recipe.yaml").write_text("[")
    assert main(["runs", str(tmp_path)]) == 0
    *rows, note = capsys.readouterr().out.splitlines()
    row = next(line for line in rows if line.strip().startswith(str(tmp_path / "run")))
    assert re.search(r" finished +1 +[01]\.\d{4} +\d+\.\d{4} +\d+\.\d +0 *$", row)
    assert note.startswith("(1) Cannot read recipe.yaml as YAML: ")


def test_what_is_wrong_stands_below_the_table_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, text in (("a", "["), ("b", "["), ("c", "{epochs: 0}")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "recipe.yaml").write_text(text)
    assert main(["runs", str(tmp_path)]) == 0
    _, *rows, first, second = capsys.readouterr().out.splitlines()
    assert [row.split()[-2:] for row in rows] == [["damaged", "(1)"], ["damaged", "(2)"], ["damaged", "(2)"]]
    assert first.startswith("(1) recipe.yaml: epochs is 0, but must be ")
    assert second.startswith("(2) Cannot read recipe.yaml as YAML: ")
    assert str(tmp_path) not in first + second


def test_ids_are_listed_only_where_a_folders_name_does_not_have_it(tmp_path: Path, capsys) -> None:
    run = lab.train(FEW.changed(epochs=1), folder=tmp_path / f"at-noon-{FEW.changed(epochs=1).id}", progress=False)
    assert main(["runs", str(tmp_path)]) == 0
    head, row = capsys.readouterr().out.splitlines()
    assert ("id" in head.split(), row.count(run.recipe.id)) == (False, 1)
    assert run.folder is not None
    run.folder.rename(tmp_path / "mine")
    assert main(["runs", str(tmp_path)]) == 0
    head, row = capsys.readouterr().out.splitlines()
    assert ("id" in head.split(), row.count(run.recipe.id)) == (True, 1)
