"""The table of runs: damaged, half-written and foreign folders are named, and the others are there."""

import json
import math
import re
import shutil

import pytest

import lab
from lab.recipe import Recipe
from lab.runs import table
from lab.store import HISTORY, RECIPE, RUN, WEIGHTS

RECIPE_OF_ALL = Recipe(modify=[{"name": "subset", "per_class": 5}], epochs=3, batch_size=8)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder with a whole run."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    lab.train(RECIPE_OF_ALL, folder=folder, progress=False, device="cpu")
    return folder


@pytest.fixture
def root(tmp_path, finished):
    shutil.copytree(finished, tmp_path / "a-whole")
    return tmp_path


def write(folder, name, content):
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(content)


def damaged_copy(root, finished, name, content):
    """A copy of the whole run in which one file has another content; None removes it."""
    folder = root / "b-damaged"
    shutil.copytree(finished, folder)
    (folder / name).unlink() if content is None else write(folder, name, content)
    return folder


def problem(root, folder):
    """What the table says is wrong with one folder, while nothing is wrong with the whole run."""
    rows = table(root).set_index("folder")
    assert len(rows) == 2
    assert rows.loc[str(root / "a-whole"), "problem"] == ""
    assert rows.loc[str(root / "a-whole"), "status"] == "finished"
    return rows.loc[str(folder), "problem"]


def test_a_whole_run_has_its_row(root):
    row = table(root).iloc[0]
    best = lab.open_run(root / "a-whole").best
    assert (row.id, row.status, row.epochs, row.test_looks) == (RECIPE_OF_ALL.id, "finished", 3, 0)
    assert (row.validation_accuracy, row.validation_loss) == (best.validation_accuracy, best.validation_loss)


def test_an_empty_and_a_missing_root_give_a_table_without_rows(tmp_path):
    for root in (tmp_path, tmp_path / "missing"):
        assert list(table(root).columns)[:3] == ["folder", "id", "status"]
        assert len(table(root)) == 0


def test_newest_first(root, finished):
    shutil.copytree(finished, root / "z-newest")
    assert list(table(root).folder) == [str(root / "z-newest"), str(root / "a-whole")]


@pytest.mark.parametrize(
    ("name", "content"), [("notes.txt", b"milk"), ("data.csv", b"1,2"), (".gitkeep", b""), (WEIGHTS, b"")]
)
def test_a_foreign_folder_is_named(root, name, content):
    folder = root / "b-foreign"
    write(folder, name, content)
    assert problem(root, folder) == f"Cannot read the recipe {RECIPE}: No such file or directory."


def test_a_folder_with_a_recipe_only_is_half_written(root):
    folder = root / "b-half"
    write(folder, RECIPE, RECIPE_OF_ALL.to_yaml().encode())
    assert problem(root, folder) == f"{RUN} is missing. {HISTORY} is missing."


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"epochs: [", r"Cannot read \S+ as YAML: while parsing"),
        (b"data: !!timestamp 2020-13-45", r"Cannot read \S+ as YAML: month must be in 1\.\.12"),
        (b"data: !!timestamp tomorrow", r"Cannot read \S+ as YAML: "),
        (b"epochs: 0", r"\S+: epochs is 0, but must be a whole number at least 1"),
        (b"model: perceptron", r"\S+: Unknown model 'perceptron'\. Expected one of: "),
        (b"", r"\S+ must be a mapping such as `optimizer: sgd`, but is None\."),
        (b"\xff\xfe\x00", r"Cannot read the recipe \S+: it is not UTF-8 text\."),
        (b"epochs: \x00", r"Cannot read \S+ as YAML: unacceptable character"),
    ],
)
def test_a_recipe_that_cannot_be_read(root, finished, content, reason):
    folder = damaged_copy(root, finished, RECIPE, content)
    assert re.match(reason, problem(root, folder))


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        (RUN, b'{"status": "fin', r"run\.json is damaged: Unterminated string.*\."),
        (RUN, b"", r"run\.json is damaged: Expecting value.*\."),
        (RUN, b"[]", r"run\.json is damaged: .+\."),
        (RUN, b"null", r"run\.json is damaged: .+\."),
        (RUN, b'{"status": "finished", "problems": null}', r"run\.json is damaged: .+\."),
        (RUN, b'{"status": "finished", "seconds": "long"}', r"run\.json is damaged: .+\."),
        (RUN, b"\xff", r"run\.json is damaged: .+\."),
        (RUN, None, r"run\.json is missing\."),
        (HISTORY, b'{"loss": [1.0', r"history\.json is damaged: Expecting ',' delimiter.*\."),
        (HISTORY, b"[]", r"history\.json is damaged: .+\."),
        (HISTORY, b"{}", r"history\.json is damaged: .+\."),
        (HISTORY, b'{"loss": 1, "accuracy": [], "lr": [], "epochs": [{}]}', r"history\.json is damaged: .+\."),
        (HISTORY, None, r"history\.json is missing\."),
        (WEIGHTS, b"half", r"Cannot read the weights in \S+: .+\."),
        (WEIGHTS, b"", r"Cannot read the weights in \S+: .+\."),
        (WEIGHTS, None, r"weights\.safetensors is missing\."),
    ],
)
def test_one_damaged_file_is_named_and_the_rest_is_shown(root, finished, name, content, reason):
    folder = damaged_copy(root, finished, name, content)
    assert re.fullmatch(reason, problem(root, folder))
    assert lab.open_run(folder).recipe == RECIPE_OF_ALL


def test_a_directory_in_the_place_of_a_file(root, finished):
    folder = damaged_copy(root, finished, RUN, None)
    (folder / RUN).mkdir()
    assert problem(root, folder) == f"{RUN} is damaged: [Errno 21] Is a directory: '{folder / RUN}'."


def test_a_process_that_left_without_a_word_is_interrupted(root, finished):
    facts = json.loads((finished / RUN).read_text())
    damaged_copy(root, finished, RUN, json.dumps({**facts, "status": "running"}).encode())
    assert sorted(table(root).status) == ["finished", "interrupted"]


def test_a_lock_that_cannot_be_asked_loses_no_row(root, finished):
    facts = json.loads((finished / RUN).read_text())
    folder = damaged_copy(root, finished, RUN, json.dumps({**facts, "status": "running"}).encode())
    (folder / ".lock").unlink(missing_ok=True)
    (folder / ".lock").mkdir()  # as a folder on a read-only disk: the lock cannot be opened
    assert len(table(root)) == 2


def test_a_history_with_what_is_not_a_number_is_shown(root, finished):
    history = json.loads((finished / HISTORY).read_text())
    history["loss"][-1] = math.nan
    folder = damaged_copy(root, finished, HISTORY, json.dumps(history).encode())
    assert problem(root, folder) == ""
    assert math.isnan(lab.open_run(folder).history.loss[-1])


def test_a_look_at_the_test_split_is_counted_in_the_folder(root):
    run = lab.open_run(root / "a-whole")
    run.test(device="cpu")
    run.test(device="cpu")
    assert run.test_looks == lab.open_run(root / "a-whole").test_looks == 2
    assert table(root).test_looks.tolist() == [2]
