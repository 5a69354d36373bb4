"""`notebooks/run.ipynb` under papermill, by Python and by command: the headless way through the lab."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import papermill
import pytest
from papermill.exceptions import PapermillExecutionError

from lab.sweeps.kernels import ForkedKernels

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "run.ipynb"
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # papermill's and its kernel client's own
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


def execute(output: Path, **parameters: Any) -> nbformat.NotebookNode:
    """In kernels that share their imports, where they can; the commands below start one each."""
    how = {"progress_bar": False, "log_output": False, "kernel_manager_class": ForkedKernels}
    return papermill.execute_notebook(NOTEBOOK, output, parameters, cwd=output.parent, **how)


def text_of(notebook: nbformat.NotebookNode) -> str:
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return "\n".join(output.get("text", "") for output in outputs)


def test_parameters_overrides_and_folder(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("optimizer: {name: sgd, lr: 0.3}\nepochs: 9\n")
    changes = {"optimizer.momentum": 0.9, "epochs": 2}
    done = execute(tmp_path / "out.ipynb", recipe=str(recipe), overrides=changes, folder=str(tmp_path / "run"))
    assert "optimizer: {name: sgd, lr: 0.3, momentum: 0.9" in text_of(done)
    assert "finished after 40 steps." in text_of(done)
    assert (tmp_path / "run" / "weights.safetensors").exists()


def test_no_widgets_static_figures_small_file(tmp_path: Path) -> None:
    done = execute(tmp_path / "out.ipynb", overrides={"epochs": 1})
    assert "widgets" not in done.metadata
    kinds = {kind for cell in done.cells for output in cell.get("outputs", []) for kind in output.get("data", {})}
    assert "application/vnd.plotly.v1+json" in kinds
    assert "image/png" in kinds
    assert not any("widget" in kind for kind in kinds)
    assert (tmp_path / "out.ipynb").stat().st_size < 500_000


@pytest.mark.parametrize(
    ("parameters", "name", "text"),
    [
        (
            {"overides": {}},
            "ValueError",
            "Unknown parameters: ['overides']. Expected: recipe, overrides, folder, device, options.",
        ),
        ({"folder": 3}, "ValueError", "folder is 3, but must be a text"),
        ({"overrides": {"optimizer.lrr": 1}}, "RecipeError", "Did you mean 'lr'?"),
        ({"overrides": {"epochs": 0}}, "RecipeError", "epochs is 0, but must be a whole number"),
        ({"overrides": {"optimizer.lr": 1e5}}, "RuntimeError", "The run diverged: The loss is not finite at step"),
        ({"overrides": {"init": "zeros", "epochs": 2}}, "RuntimeError", "The run got stuck: "),
        ({"overrides": {"data": "folder"}}, "DataError", "There is no folder images."),
    ],
)
def test_a_failing_run_fails_the_notebook(tmp_path: Path, parameters: dict, name: str, text: str) -> None:
    with pytest.raises(PapermillExecutionError) as error:
        execute(tmp_path / "out.ipynb", **parameters)
    assert error.value.ename == name
    assert text in error.value.evalue
    assert (tmp_path / "out.ipynb").exists()


def papermill_command(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "papermill", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)


def test_the_panels_papermill_command_runs(tmp_path: Path) -> None:
    words = ["-y", "{overrides: {optimizer: adam, optimizer.lr: 0.003, epochs: 1}}", "--no-progress-bar"]
    done = papermill_command(str(NOTEBOOK), "executed.ipynb", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "adam, lr: 0.003" in text_of(nbformat.read(tmp_path / "executed.ipynb", 4))


def test_help_names_type_default_and_meaning(tmp_path: Path) -> None:
    done = papermill_command("--help-notebook", str(NOTEBOOK), cwd=tmp_path)
    assert 'recipe: str (default "")' in done.stdout
    assert "overrides: dict (default {})" in done.stdout
    assert "Unknown type" not in done.stdout
