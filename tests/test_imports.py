"""Imports point one way, widgets stay in their package, and nothing unpickles."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from small_comparisons import FEW

import lab

ROOT = Path(lab.__file__).parent
ORDER = [
    *(
        "frames",
        "installing",
        "catalogue",
        "data",
        "activations",
        "initializers",
        "models",
        "optimizers",
        "schedules",
        "augmentations",
        "plain_fields",
    ),
    *("checkpointing", "gradients", "used_weights", "averages", "memory"),
    *(
        "depth",
        "last_layer",
        "transfer",
        "objectives",
        "reading",
        "own_options",
        "recipe",
        "older_runs",
        "loading",
        "short_texts",
        "presets",
        "idle",
        "events",
        "steps",
        "arithmetic",
        "states",
        "endings",
        "costs",
        "layer_tables",
        "sight",
        "features",
        "savings",
        "answering",
        "training",
        "stacks",
        "provenance",
        "store",
        "run_facts",
        "run_notes",
        "trash",
        "progress",
        "runs",
        "run_tables",
        "sample_grids",
        "spread",
        "many",
        "verdicts",
        "sentences",
        "tuning",
        "knobs",
        "first",
        "plans",
        "trials",
        "forgetting",
        "comparison_folder",
        "compare",
        "label_curves",
        "targets",
        "reports",
        "checks",
        "views",
        "landscape",
        "followed",
        "landscape_scenes",
        "landscape_numbers",
        "diagnostics",
        "probes",
        "landscape_probes",
        "augmented_probes",
        "objective_probes",
        "claims",
    ),
    *(
        "sheets",
        "plots",
        "schedule_plots",
        "figure_parts",
        "stills",
        "activation_plots",
        "optimizer_plots",
        "layer_plots",
        "comparison_plots",
        "label_plots",
        "diagnostic_plots",
        "prediction_plots",
        "generated_plots",
        "landscape_plots",
        "edge_plots",
        "landscape_png",
        "landscape_replays",
        "landscape_page",
        "landscape_folder",
        "landscape_command",
    ),
    *(
        "augmentation_plots",
        "trial_plots",
        "bundle",
        "script_questions",
        "script_lines",
        "export",
        "choosing",
        "label_plans",
        "label_command",
        "sweeps",
        "doctor",
        "option_tables",
        "app",
    ),
    *("course", "panel", "__main__"),
]
FILES = sorted(file for file in ROOT.rglob("*.py") if file != ROOT / "__init__.py")
every_file = pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))


def part_of(file):
    """The module or package of the lab that a file belongs to."""
    return file.relative_to(ROOT).with_suffix("").parts[0]


def package_of(file):
    return ("lab", *file.relative_to(ROOT).parts[:-1])


def imported(file, source):
    """Full names of all modules that a source imports, wherever in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package_of(file)[: -node.level + 1 or None] if node.level else ()
            module = ".".join([*base, *filter(None, [node.module])])
            yield from (f"{module}.{alias.name}" for alias in node.names)


def parts_used(file, source):
    """The modules and packages of the lab that a source imports from."""
    names = (name.split(".") for name in imported(file, source))
    return {name[1] if len(name) > 1 else "" for name in names if name[0] == "lab"}


def points_up(file, source):
    """What a source imports that does not stand before its own part in the order."""
    allowed = ORDER[: ORDER.index(part_of(file)) + 1]
    return sorted(parts_used(file, source) - set(allowed))


@every_file
def test_imports_point_one_way(file):
    assert points_up(file, file.read_text()) == []


@pytest.mark.parametrize(
    "source",
    [
        "import lab.runs",
        "from lab import runs",
        "from lab.runs import Run",
        "from . import runs",
        "from .runs import Run",
        "def late():\n    from lab.runs import Run",
    ],
)
def test_an_import_that_points_up_would_be_noticed(source):
    assert points_up(ROOT / "recipe.py", source) == ["runs"]
    assert points_up(ROOT / "panel.py", source) == []


def test_an_import_of_the_whole_lab_would_be_noticed():
    assert points_up(ROOT / "recipe.py", "import lab") == [""]


@every_file
def test_widgets_are_imported_by_the_panel_only(file):
    roots = {name.split(".")[0] for name in imported(file, file.read_text())}
    assert part_of(file) == "panel" or not roots & {"ipywidgets", "anywidget"}


def unpickles(call):
    """`torch.load(..., weights_only=True)` reads tensors and plain containers, and runs nothing."""
    return not any(word.arg == "weights_only" and ast.unparse(word.value) == "True" for word in call.keywords)


@every_file
def test_nothing_is_unpickled(file):
    source = file.read_text()
    names = set(imported(file, source))
    calls = {
        ast.unparse(node.func) for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call) and unpickles(node)
    }
    assert not {name.split(".")[0] for name in names} & {"pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
    assert not calls & {"torch.load", "numpy.load", "np.load"}
    assert "torch.load" not in names


def test_the_lab_without_its_panel_imports_no_widgets():
    code = "import lab, sys; print(sorted({'ipywidgets', 'anywidget', 'IPython'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert found.strip() == "[]"


SLOW = {"torchvision", "sklearn", "pandas", "plotly", "optuna", "torch._dynamo", "torch.utils.flop_counter"}
SLOW |= {"scipy.stats", "scipy.special", "scipy.interpolate"}


def test_what_is_slow_to_import_waits_until_it_is_used():
    assert imported_by("import lab.__main__") == "[]"


@pytest.mark.parametrize("words", [["runs"], ["runs", "--json"], ["options"]])
def test_lists_need_nothing_that_is_slow_to_import(words, tmp_path):
    if words[0] == "runs":
        lab.train(FEW.changed(epochs=1), folder=tmp_path / "run", progress=False, device="cpu")
        words = [*words, str(tmp_path)]
    said, _, slow = imported_by(f"from lab.__main__ import main; main({words})").rpartition("\n")
    assert (bool(said), slow) == (True, "[]")


def imported_by(code):
    """What some code prints, and in the last line which slow packages it has imported."""
    code = f"{code}\nimport sys; print(sorted({SLOW} & set(sys.modules)))"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
