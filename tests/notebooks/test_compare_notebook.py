"""`notebooks/compare.ipynb` under papermill: the answer in words, then static pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import papermill
import pytest
from papermill.exceptions import PapermillExecutionError

from lab.sweeps.kernels import ForkedKernels

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "compare.ipynb"
SMALL = {"base.epochs": 1, "seeds": 2, "trials": 3, "tuning_seeds": 1}
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # papermill's and its kernel client's own
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


def execute(output: Path, **parameters: Any) -> Any:
    how = {"progress_bar": False, "log_output": False, "kernel_manager_class": ForkedKernels}
    return papermill.execute_notebook(NOTEBOOK, output, parameters, cwd=output.parent, **how)


def test_the_answer_in_words_and_static_pictures_in_a_small_file(tmp_path: Path) -> None:
    done = execute(tmp_path / "out.ipynb", overrides=SMALL, folder=str(tmp_path / "kept"))
    outputs = [output for cell in done.cells for output in cell.get("outputs", [])]
    text = "\n".join(output.get("text", "") for output in outputs)
    assert "5 arms on digits, equal epochs (1 epoch each), 2 paired seeds" in text
    assert "What tuning changed" in text
    pictures = [output.data["application/vnd.plotly.v1+json"] for output in outputs if "data" in output]
    assert len(pictures) == 5
    assert all(picture["data"] for picture in pictures)
    assert not any("widget" in kind for output in outputs for kind in output.get("data", {}))
    assert "widgets" not in done.metadata
    assert (tmp_path / "out.ipynb").stat().st_size < 500_000
    assert (tmp_path / "kept" / "trials.jsonl").exists()


@pytest.mark.parametrize(
    ("parameters", "name", "text"),
    [
        ({"overrides": {"seedz": 3}}, "RecipeError", "Did you mean 'seeds'?"),
        ({"plam": ""}, "ValueError", "Unknown parameters: ['plam']. Expected: plan, overrides, folder, device."),
    ],
)
def test_what_is_wrong_is_said_before_anything_trains(tmp_path: Path, parameters: dict, name: str, text: str) -> None:
    with pytest.raises(PapermillExecutionError) as error:
        execute(tmp_path / "out.ipynb", **parameters)
    assert (error.value.ename, error.value.exec_count) == (name, 3)  # what papermill injects is the second
    assert text in error.value.evalue


def test_parameters_are_typed_and_explained() -> None:
    known = papermill.inspect_notebook(NOTEBOOK)
    assert {name: parameter["inferred_type_name"] for name, parameter in known.items()} == {
        "plan": "str",
        "overrides": "dict",
        "folder": "str",
        "device": "str",
    }
    assert all(parameter["help"] for parameter in known.values())
