"""`lab landscape` end to end: the surfaces of the runs, a folder that is whole and opens offline, words for errors."""

import json
import re
from copy import deepcopy
from dataclasses import replace
from functools import partial
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from small_landscapes import mean_loss, session_of, value_at
from small_runs import SMALL, TINY_CNN, small_model
from small_scenes import ORIGIN, bowl, path_of, scene_of, with_holes

from lab import runs
from lab.__main__ import main
from lab.events import Step
from lab.followed import follow
from lab.landscape import Evaluator, Gauge, Grid, random_plane, samples_of, trained
from lab.landscape.planes import Plane
from lab.landscape.scenes import BANDS, Scale
from lab.landscape_command import in_words, names_of
from lab.landscape_folder import EDGE, FILES, put, save
from lab.landscape_numbers import heights_between
from lab.landscape_page import tiled
from lab.landscape_png import banded, coloured, contour_picture, enlarged, keyed, placed, rgb
from lab.landscape_scenes import measured, scenes_of
from lab.plots import colour_and_dash
from lab.recipe import RecipeError
from lab.store import RunError
from lab.training import Training
from lab.views import Lens, View

pytestmark = pytest.mark.usefixtures("one_thread")
SURFACES = [name for name in FILES if name != EDGE]  # of a landscape without readings
TINY_RUN = SMALL.changed(model={"name": "mlp", "width": 4})
FAST = ["--device", "cpu", "--quiet", "--size", "5", "--samples", "40"]


@pytest.fixture(scope="module")
def recipes(tmp_path_factory, one_thread):
    folder = tmp_path_factory.mktemp("recipes")
    small = SMALL.changed(model=TINY_CNN, epochs=2)
    for name, recipe in {
        "sgd": small,
        "adam": small.changed(optimizer="adam"),
        "mlp": SMALL,
        "other": small.changed(seed=3),
        "wild": small.changed(**{"optimizer.lr": 1e30}),
    }.items():
        recipe.save(folder / f"{name}.yaml")
    runs.train(small, folder=folder / "run", progress=False, device="cpu")
    return folder


@pytest.fixture(scope="module")
def one(recipes):
    folder = recipes / "landscape of one"
    assert main(["landscape", str(recipes / "sgd.yaml"), "--output", str(folder), *FAST]) == 0
    return folder


def arrays(folder):
    with np.load(folder / "surface.npz", allow_pickle=False) as file:
        return dict(file)


def page_words(facts):
    page = shown(Path(facts["folder"]))
    return " ".join([*(each["details"] for each in page["pictures"]), *page["words"]])


def shown(folder):
    text = (folder / "index.html").read_text(encoding="utf-8")
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)[1])


# -- the folder --------------------------------------------------------------------------------------------------------


def test_the_folder_is_whole(one):
    assert sorted(path.name for path in one.iterdir()) == sorted([*SURFACES, "plane.0.safetensors"])


def test_the_plane_is_kept_from_which_every_loss_can_be_had_again(one):
    run = follow(SMALL.changed(model=TINY_CNN, epochs=2), Lens(samples=40), progress=False, device="cpu")
    plane, found = Plane.load(one / "plane.0.safetensors"), arrays(one)
    images = run.samples.batch(slice(None), torch.float64)
    for i, j in ((0, 0), (4, 1)):
        place = (found["0.a"][i], found["0.b"][j])
        loss, _ = value_at(deepcopy(run.model).double(), plane, place, images, run.samples.labels, 40)
        assert found["0.loss"][i, j] == pytest.approx(loss, rel=1e-5)
    (scene,) = json.loads((one / "facts.json").read_text())["scenes"]
    assert scene["plane"] == "plane.0.safetensors"
    assert scene["origin"] == vars(plane.origin)


def test_scenes_on_one_plane_keep_it_once(tmp_path):
    weights = {"w": torch.eye(2)}
    joint, other = (Plane(weights, (weights,), ORIGIN) for _ in range(2))
    scenes = [replace(scene_of(), plane=plane) for plane in (joint, joint, other)]
    facts = save(tmp_path / "kept", "kept", [*scenes, scene_of()], [])
    names = ["plane.0.safetensors", "plane.0.safetensors", "plane.1.safetensors", None]
    assert [scene["plane"] for scene in facts["scenes"]] == names
    save(tmp_path / "kept", "another", scenes[:1], [])
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == sorted([*SURFACES, "plane.0.safetensors"])


class Addresses(HTMLParser):
    """Everything that a page loads or leads to."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attributes):
        self.found += [value for key, value in attributes if key in ("src", "href", "srcset", "data", "action")]


def test_the_page_loads_nothing_but_the_file_beside_it(one):
    page = Addresses()
    text = (one / "index.html").read_text(encoding="utf-8")
    page.feed(text)
    assert page.found == ["plotly.min.js"]
    assert not re.search(r"https?://|@import|url\(", text)


def test_the_numbers_are_those_of_the_surface_and_of_the_path(one, recipes):
    lens = Lens(samples=40)
    run = follow(SMALL.changed(model=TINY_CNN, epochs=2), lens, progress=False, device="cpu")
    (scene,) = scenes_of([run], View(size=5, lens=lens), lambda done, of: None)
    found = arrays(one)
    for name in ("loss", "accuracy", "error", "difference_error"):
        assert np.array_equal(found[f"0.{name}"], getattr(scene.surface, name))
    for name in ("coordinates", "steps", "true", "on_plane"):
        assert np.array_equal(found[f"0.path.0.{name}"], getattr(scene.paths[0], name))
    assert np.array_equal(found["0.a"], scene.surface.grid.axes[0])
    assert found["0.path.0.true"][-1] == pytest.approx(found["0.path.0.on_plane"][-1], rel=1e-4)
    facts = json.loads((one / "facts.json").read_text())
    assert facts["scenes"][0]["lowest_loss"] == found["0.loss"].min()
    assert facts["scenes"][0]["paths"][0]["marks"] == len(found["0.path.0.steps"])


def test_the_page_has_a_figure_with_every_mark_and_what_the_run_saw_at_it(one):
    page, found = shown(one), arrays(one)
    marks = len(found["0.path.0.steps"])
    assert [figure["name"] for figure in page["figures"]] == ["surfaces", "contours"]
    for mode in ("light", "dark"):  # they stand side by side, in the same colours
        axes = [figure[mode]["coloraxis"] for figure in page["figures"]]
        assert [axis.get("showscale", True) for axis in axes] == [False, True]
        assert len({(axis["cmin"], axis["cmax"]) for axis in axes}) == 1
    for figure in page["figures"]:
        for line in figure["lines"]:
            assert figure["data"][line["trace"]]["type"] in ("scatter", "scatter3d")
            assert line["full"]["x"] == found["0.path.0.coordinates"][:, 0].tolist()
    (run,) = page["runs"]
    assert len(run["marks"]) == len(run["filters"]) == len(run["said"]) == marks
    assert len(run["said"][0]) == len(run["images"]) == 10
    assert run["marks"][0].startswith("step 0: loss ")
    assert page["pictures"][0]["brief"].startswith("Plane of the path, ")
    assert page["pictures"][0]["details"].startswith("Plane of the path, through the last point, holds ")


def test_a_title_cannot_end_the_script(tmp_path):
    save(tmp_path / "page", "</script><b>", [scene_of(title="</script>")], [])
    assert shown(tmp_path / "page")["title"] == "</script><b>"


def test_a_landscape_is_replaced_by_another_and_nothing_else_is(tmp_path):
    folder = tmp_path / "kept"
    save(folder, "first", [scene_of()], [])
    save(folder, "second", [scene_of(line=True, paths=[])], [])
    assert json.loads((folder / "facts.json").read_text())["title"] == "second"
    assert not (folder / "contours.png").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    (folder / "mine.txt").write_text("mine")
    with pytest.raises(RunError, match=r"holds facts.json, index.html, mine.txt and 2 more\), but a landscape needs"):
        save(folder, "third", [scene_of()], [])
    assert json.loads((folder / "facts.json").read_text())["title"] == "second"


def test_a_page_of_ones_own_is_no_landscape(tmp_path):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "index.html").write_text("mine")
    with pytest.raises(RunError, match=r"holds index.html\), but a landscape needs"):
        save(tmp_path / "site", "first", [scene_of()], [])
    assert (tmp_path / "site" / "index.html").read_text() == "mine"


def test_marks_that_are_not_finite_leave_the_page_whole(tmp_path):
    path = path_of()
    lost = replace(path, true=np.full_like(path.true, np.inf), on_plane=np.full_like(path.on_plane, np.nan))
    save(tmp_path / "lost", "lost", [scene_of(paths=[lost])], [])
    text = (tmp_path / "lost" / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"\b(NaN|Infinity)\b", text.partition('id="data">')[2].partition("</script>")[0])


def test_a_folder_that_cannot_be_put_in_place_leaves_the_old_one_there(tmp_path, monkeypatch):
    put(tmp_path / "kept", {"index.html": b"old"})
    whole = Path.replace

    def stuck(path, target):
        if path.name.endswith(".new"):
            raise OSError(16, "Device or resource busy")
        return whole(path, target)

    monkeypatch.setattr(Path, "replace", stuck)
    with pytest.raises(RunError, match=r"Cannot write .*kept: Device or resource busy"):
        put(tmp_path / "kept", {"index.html": b"new"})
    assert (tmp_path / "kept" / "index.html").read_bytes() == b"old"


def test_a_picture_of_several_runs_names_them_by_their_colours():
    blank = Image.new("RGB", (400, 100), "white")
    assert keyed(blank, {"sgd": 0}, dark=False) is blank
    below = np.asarray(keyed(blank, {"sgd": 0, "adam": 1}, dark=False))[100:].reshape(-1, 3).tolist()
    assert all(list(rgb(colour_and_dash(number)[0])) in below for number in (0, 1))
    assert contour_picture([scene_of(paths=[path_of(), path_of(number=1, name="adam")])]).height > 600


def test_a_folder_is_written_as_a_whole_or_not_at_all(tmp_path, monkeypatch):
    put(tmp_path / "kept", {"index.html": b"old"})

    def full(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lab.landscape_folder.write_atomically", full)
    with pytest.raises(RunError, match=r"Cannot write .*kept: No space left on device\. Choose another folder\."):
        put(tmp_path / "kept", {"index.html": b"new"})
    assert (tmp_path / "kept" / "index.html").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_filters_stand_in_rows_of_eight_with_a_see_through_pixel_between():
    images = torch.rand(10, 1, 3, 3)
    sheet = tiled(images)
    assert sheet.shape == (7, 31, 4)
    assert np.array_equal(sheet[4:7, 4:7, 0], (images[9, 0] * 255).round().to(torch.uint8).numpy())
    assert sheet[3].sum() == 0


# -- the PNG -----------------------------------------------------------------------------------------------------------


def test_each_pixel_has_the_colour_of_its_band():
    scene = scene_of(lambda a, b: a + 0 * b, paths=[], size=9)
    scale = Scale.of([scene])
    picture = banded(scene, scale, 320, (255, 255, 255))
    middles = picture[160, 10::20]
    assert np.array_equal(middles, coloured((np.arange(BANDS) + 0.5) / BANDS).round().astype(np.uint8))
    assert (picture[1:] == picture[:-1]).all()  # the loss does not depend on b


def test_a_is_to_the_right_and_b_is_up():
    large = enlarged(np.array([[0.0, 1.0], [2.0, 3.0]]), 3)
    assert large.tolist() == [[1, 2, 3], [0.5, 1.5, 2.5], [0, 1, 2]]
    scene = scene_of()
    assert placed(scene, np.array([[-1, 1], [3, -1]]), 100) == [(0, 0), (100, 100)]


def test_holes_are_paper():
    picture = banded(with_holes(scene_of(paths=[])), Scale.of([scene_of()]), 100, (1, 2, 3))
    assert (picture[:, 30] == (1, 2, 3)).all()


@pytest.mark.parametrize("dark", [False, True])
def test_a_picture_has_every_scene_and_the_words(dark):
    one = contour_picture([scene_of()], dark=dark)
    two = contour_picture([scene_of(title="sgd"), scene_of(paths=[path_of(number=1, off=(0,))])], dark=dark)
    assert two.width > 1.6 * one.width
    assert (luminance(one) < 0.2) == dark


def luminance(picture):
    return sum(picture.getpixel((1, 1))) / 765


def test_the_picture_of_a_folder_is_a_png(one):
    with Image.open(one / "contours.png") as picture:
        assert picture.format == "PNG"


# -- the command -------------------------------------------------------------------------------------------------------


def command(recipes, capsys, *words):
    output = recipes / "made" / "_".join(re.sub(r"\W", "", word) for word in words)
    code = main(["landscape", *FAST, *words, "--output", str(output), "--json"])
    printed = capsys.readouterr()
    assert printed.err == ""
    assert code == 0
    return json.loads(printed.out)


def test_runs_of_one_function_share_a_surface_on_the_joint_plane(recipes, capsys, monkeypatch):
    monkeypatch.chdir(recipes)
    facts = command(recipes, capsys, "sgd.yaml", "adam.yaml")
    (scene,) = facts["scenes"]
    assert scene["origin"]["kind"] == "joint"
    assert [path["run"] for path in scene["paths"]] == ["sgd", "adam"]
    assert Path(facts["page"]).is_file()


def test_statistics_of_their_own_give_runs_surfaces_of_their_own(recipes, capsys, monkeypatch):
    monkeypatch.chdir(recipes)
    stored = command(recipes, capsys, "sgd.yaml", "adam.yaml", "model.norm=batch")
    assert [len(scene["paths"]) for scene in stored["scenes"]] == [1, 1]
    assert "a picture of its own: own stored statistics of batch normalisation" in stored["scenes"][1]["words"]
    a, b = (arrays(Path(stored["folder"]))[f"{index}.loss"] for index in (0, 1))
    assert not np.allclose(a, b)


@pytest.mark.parametrize(
    ("words", "kind", "marks"),
    [
        (["run"], "random", [1]),
        (["run", "--plane", "line"], "line", []),
        (["run", "run", "--normalisation", "layer"], "random", [1]),
        (["sgd.yaml", "--plane", "random", "--seed", "3"], "random", [1]),
        (["run", "--plane", "hessian"], "hessian", [1]),
        (["sgd.yaml", "adam.yaml", "--plane", "line"], "line", []),
    ],
)
def test_planes_of_finished_and_of_trained_runs(recipes, capsys, monkeypatch, words, kind, marks):
    monkeypatch.chdir(recipes)
    scene = command(recipes, capsys, *words)["scenes"][0]
    assert scene["origin"]["kind"] == kind
    assert [path["marks"] for path in scene["paths"]] == marks
    assert ("of the variance of this path" in scene["words"]) == ("sgd.yaml" in words and kind != "line")
    if kind == "random":
        assert scene["paths"][0]["true"] == pytest.approx(scene["paths"][0]["on_plane"], rel=1e-4)


def test_the_plane_through_three_runs_holds_their_ends(recipes, capsys, monkeypatch):
    monkeypatch.chdir(recipes)
    facts = command(recipes, capsys, "sgd.yaml", "adam.yaml", "other.yaml", "--plane", "points")
    assert [path["grey"] for path in facts["scenes"][0]["paths"]] == [0, 0, 0]


def test_the_plane_of_the_sharpest_directions_reaches_to_where_a_parabola_rises_by_a_nat():
    run = follow(SMALL.changed(model={"name": "mlp", "width": 4}), Lens(samples=40), progress=False, device="cpu")
    loss, place = mean_loss(run, run.samples)
    sharpest = torch.linalg.eigvalsh(torch.autograd.functional.hessian(loss, place)).flip(0)[:2].tolist()
    (scene,) = scenes_of([run], View("hessian", size=5, lens=Lens(samples=40)), lambda done, of: None)
    assert scene.surface.grid.reach == pytest.approx([(2 / sharpest[0]) ** 0.5] * 2, rel=0.01)
    said = re.match(r"eigenvalues (\S+) \+- (\S+), (\S+) \+- (\S+)$", scene.surface.origin.note)
    first, its_residual, second, other_residual = map(float, said.groups())
    assert [first, second] == pytest.approx(sharpest, rel=0.02)
    assert 0 < its_residual <= 0.01 * first
    assert 0 < other_residual <= 0.01 * second
    assert scene.paths[0].true == pytest.approx(scene.surface.loss[2, 2], rel=1e-4)


def test_a_line_says_from_where_to_where(recipes, capsys, monkeypatch):
    monkeypatch.chdir(recipes)
    two = command(recipes, capsys, "sgd.yaml", "adam.yaml", "--plane", "line", "--seed", "1")
    assert two["scenes"][0]["words"].startswith("Straight line, from sgd (0) to adam (1); ")
    one = command(recipes, capsys, "sgd.yaml", "--plane", "line", "--seed", "1")
    assert one["scenes"][0]["words"].startswith("Straight line, from the start (0) to the end (1); ")


def test_few_exact_points_are_marked_and_the_spline_says_what_it_is_off_by(recipes, capsys, monkeypatch):
    monkeypatch.chdir(recipes)
    asked, measure = [], Evaluator.__call__
    monkeypatch.setattr(Evaluator, "__call__", lambda self, points: (asked.extend(points), measure(self, points))[1])
    words = ["run", "--plane", "random", "--enough", "0"]
    few = command(recipes, capsys, *words, "--size", "9", "--exact", "5")
    count = len(asked)
    whole = command(recipes, capsys, *words, "--size", "9")
    assert len(asked) - count == count + 56
    kept, exact = (arrays(Path(facts["folder"])) for facts in (few, whole))
    assert exact["0.exact"].all()
    assert kept["0.exact"].sum() == 25
    assert kept["0.loss"][kept["0.exact"]] == pytest.approx(exact["0.loss"][kept["0.exact"]], rel=1e-6)
    said = "9x9 points: spline of 5x5 exact ones, that of 3x3 of them off by "
    assert said in few["scenes"][0]["words"]
    assert said in page_words(few)
    assert (few["scenes"][0]["spline"]["knots"], whole["scenes"][0]["spline"]) == (5, None)
    assert "9x9 points, all exact; " in page_words(whole)


def test_where_no_spline_leads_over_a_cliff_all_points_are_measured():
    session = session_of(small_model("mlp"))
    plane = random_plane(trained(session.model), seed=0)
    far = Evaluator(session.model, plane, samples_of(session, count=40))
    found = measured(far, Grid(9, reach=(1e30, 1e30)), lambda done: None, exact=5)
    assert not np.isfinite(found.loss).all()
    assert found.complete
    assert (found.grid.size, found.spline) == (9, None)


@pytest.mark.parametrize(("size", "allowed"), [(33, "17, 9, 5"), (25, "13, 7"), (30, "no number: choose another size")])
def test_what_can_be_exact_is_nested_and_odd(size, allowed):
    with pytest.raises(RecipeError, match=f"exact is 8, but of {size} points along a side can be: {allowed}"):
        View(size=size, exact=8)


def test_another_precision_is_said_with_what_it_is_off_by(recipes, capsys, monkeypatch):
    monkeypatch.chdir(recipes)
    plain, mixed, exact = (
        command(recipes, capsys, "run", *precision)["scenes"][0]
        for precision in ([], ["--precision", "bfloat16"], ["--precision", "float64"])
    )
    assert mixed["measured"]["precision"] == "bfloat16"
    assert mixed["precision_error"]["points"] == 16
    assert "; bfloat16, off by " in mixed["words"]
    assert re.search(r" · bfloat16, off by \S+, at most \S+, from float32 at \d+ points", mixed["brief"])
    assert "bfloat16" not in plain["brief"]
    assert exact["brief"].endswith(" · float64")
    assert plain["precision_error"] is exact["precision_error"] is None
    assert exact["words"].endswith("; float64.")
    assert plain["paths"] == mixed["paths"]  # the marks keep to float32


def test_numbers_stand_beside_the_pictures_where_they_are_asked_for(recipes, capsys, monkeypatch):
    monkeypatch.chdir(recipes)
    plain = command(recipes, capsys, "run", "run")
    assert [run["numbers"] for run in plain["runs"]] == [[], []]
    bent = plain["scenes"][0]["bent_down"]
    assert 0 <= bent["value"] <= 1
    assert re.search(
        r" ± \S+% of the second differences are negative \(standard error over 15 parts of the picture, on these ",
        page_words(plain),
    )
    assert bent["error"] > 0
    assert [each["value"] for each in plain["between"]] == pytest.approx([0], abs=1e-6)
    facts = command(recipes, capsys, "run", "--numbers")
    assert facts["between"] == []
    (run,) = shown(Path(facts["folder"]))["runs"]
    assert run["numbers"] == facts["runs"][0]["numbers"]
    step = facts["scenes"][0]["paths"][0]["last_step"]
    on = f"step {step}, 40 of {facts['scenes'][0]['measured']['total']} validation images"
    assert {each["at"] for each in run["numbers"]} == {on}
    assert f"\nrun ({on}): largest eigenvalue " in in_words(facts)
    assert [each["name"] for each in run["numbers"]][2:] == [
        "trace of the Hessian",
        "sharpness, raw",
        "sharpness by filter",
    ]
    assert all(each["error"] > 0 for each in run["numbers"])


def test_words_for_people(recipes, capsys):
    assert main(["landscape", str(recipes / "run"), "--output", str(recipes / "said"), *FAST]) == 0
    words, page, more = capsys.readouterr().out.strip().split("\n")
    assert words.startswith("Plane of random directions (seed 0, normalised by filter) · off the true loss by ")
    assert more.startswith("Its details, and the words of each scene in facts.json, say all ")
    assert page == f"Open {recipes / 'said' / 'index.html'}"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            "run --plane path",
            "The run run keeps no snapshots, so there is no plane 'path'. Give its recipe.yaml to train",
        ),
        ("run run --plane points", "A plane 'points' is for 1 or 3 runs, not 2. Choose another --plane."),
        ("run run --plane hessian", "A plane 'hessian' is for 1 run, not 2. Choose another --plane."),
        ("sgd.yaml mlp.yaml", "they belong to different networks. Use weights of one architecture."),
        ("run epochs=3", "epochs cannot be changed in a run that is finished. Give run/recipe.yaml to train it anew."),
        ("run sgd.yaml", "run is a finished run and others are recipes. Give either recipes, which are trained, or"),
        ("sgd.yaml " * 9, "9 runs were given, but a landscape is for 1 to 8. Choose fewer."),
        (
            "sgd.yaml optimizer.lr=1e30",
            "The weights of sgd have left all bounds (diverged), so there is no landscape around it. The loss is",
        ),
        ("sgd.yaml optimizer.lr=1e4 --plane random", "The weights of sgd have left all bounds ("),
        ("none.yaml", "Cannot read the recipe none.yaml: No such file or directory."),
        ("--plane hill", "Unknown plane 'hill'. Expected one of: random, path, joint, line, points, hessian."),
        ("--split test", "Unknown split 'test'. Expected one of: training, validation."),
        ("--batchnorm none", "Unknown batchnorm 'none'. Expected one of: stored, batch."),
        ("--precision half", "Unknown precision 'half'. Expected one of: float32, bfloat16, float64."),
        ("--normalisation best", "Unknown normalisation 'best'. Expected one of: filter, layer, none."),
        ("--size 4", "size is 4, but must be from 5 to 201 points along a side."),
        ("--samples 1", "samples is 1, but a standard error needs at least 2 images."),
        ("--output run", "run is not empty (it holds history.json, recipe.yaml, run.json and 1 more), but a landscape"),
        ("--output sgd.yaml", "sgd.yaml is a file. Choose another folder."),
        ("--output .", ". holds the folder you work in, and would be replaced as a whole. Name a new folder."),
        ("--batchnorm batch epochs=1 --samples 40", "40 samples make no batch of 128"),
    ],
)
def test_what_is_wrong_is_said(recipes, capsys, monkeypatch, words, said):
    monkeypatch.chdir(recipes)
    output = [] if "--output" in words else ["--output", "none"]
    assert main(["landscape", *words.split(), *output, "--device", "cpu", "--quiet"]) == 2
    assert said in capsys.readouterr().err


def test_a_run_that_diverged_is_left_out_and_the_others_are_drawn_as_without_it(recipes, capsys, monkeypatch):
    monkeypatch.chdir(recipes)
    words = ["sgd.yaml", "wild.yaml", "adam.yaml", "--output", "with_wild", *FAST]
    assert main(["landscape", *words, "--json"]) == 3
    facts = json.loads(capsys.readouterr().out)
    assert [run["name"] for run in facts["runs"]] == ["sgd", "adam"]
    (left,) = facts["left_out"]
    assert left["name"] == "wild"
    assert left["why"].startswith(
        "The weights of wild have left all bounds (diverged), so there is no landscape around it. The loss is"
    )
    assert left["why"].endswith(f" {left['reason']}")
    assert left["why"] in shown(Path("with_wild"))["words"]
    alone = command(recipes, capsys, "sgd.yaml", "adam.yaml")
    assert np.array_equal(arrays(Path("with_wild"))["0.loss"], arrays(Path(alone["folder"]))["0.loss"])
    assert main(["landscape", *words]) == 3
    assert capsys.readouterr().out.startswith("Left out: The weights of wild have left all bounds (diverged")


@pytest.mark.parametrize("network", ["mlp", "cnn", "rnn", "lstm"])
def test_around_weights_of_zeros_there_is_no_random_plane_and_it_is_said(network, recipes, capsys, monkeypatch):
    monkeypatch.chdir(recipes)
    SMALL.changed(model=small_model(network), init="zeros", epochs=1).save("zeros.yaml")
    words = ["landscape", "zeros.yaml", *FAST, "--output", f"zeros {network}"]
    assert main([*words, "--plane", "random"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("lab: There is no random plane around zeros. All weights that directions scaled by filter ")
    assert said.endswith("Choose normalisation 'layer' or 'none', or another plane.\n")
    for other in (["--plane", "random", "--normalisation", "layer"], ["--plane", "path"]):
        assert main([*words, *other]) == 0
        assert "\nPlane of " in capsys.readouterr().out


def test_a_run_of_zeros_is_left_out_where_another_has_a_random_plane(recipes, capsys, monkeypatch):
    monkeypatch.chdir(recipes)
    SMALL.changed(init="zeros", epochs=1).save("zeros.yaml")
    words = ["landscape", "zeros.yaml", "sgd.yaml", *FAST, "--plane", "random", "--output", "zeros", "--json"]
    assert main(words) == 3
    facts = json.loads(capsys.readouterr().out)
    assert [run["name"] for run in facts["runs"]] == ["sgd"]
    assert facts["left_out"][0]["why"].startswith("There is no random plane around zeros. All weights ")


def test_where_too_few_are_left_for_a_plane_it_is_said_who_is_not(recipes, capsys, monkeypatch):
    monkeypatch.chdir(recipes)
    assert main(["landscape", "sgd.yaml", "wild.yaml", "--plane", "joint", "--output", "none", *FAST]) == 2
    said = capsys.readouterr().err
    assert "A plane 'joint' is for 2 to 8 runs, not 1." in said
    assert "The weights of wild have left all bounds" in said


def test_frozen_weights_decide_whether_runs_share_a_surface():
    lens = Lens(samples=40)
    runs = [follow(SMALL, lens, progress=False, device="cpu", name=name) for name in "ab"]
    for run in runs:
        next(run.model.parameters()).requires_grad_(requires_grad=False)
    assert runs[0].function == runs[1].function
    assert len(heights_between(runs)) == 1
    with torch.no_grad():
        next(runs[1].model.parameters()).mul_(2)
    assert runs[0].function != runs[1].function
    assert heights_between(runs) == []


def test_a_run_that_got_stuck_is_drawn_and_is_a_bad_result(recipes, capsys, monkeypatch):
    monkeypatch.chdir(recipes)
    words = ["mlp.yaml", "optimizer.lr=1e-9", "epochs=5", "--size", "5", "--output", "stuck"]
    assert main(["landscape", *words, "--device", "cpu", "--quiet", "--json"]) == 3
    facts = json.loads(capsys.readouterr().out)
    (run,) = facts["runs"]
    assert run["ended"] == "stuck"
    assert in_words(facts).startswith(f"{run['name']}: stuck. {run['reason']}\n")
    assert run["reason"].endswith(": try another learning rate or initialisation.")


def test_runs_in_folders_of_one_name_are_told_apart():
    assert names_of(["a/run", "b/run"]) == ["a/run", "b/run"]
    assert names_of(["a/one", "b/two"]) == ["one", "two"]


def test_a_surface_that_is_nowhere_finite_is_told_all_the_same(tmp_path):
    scene = scene_of(paths=[])
    lost = replace(scene, surface=replace(scene.surface, loss=np.full((5, 5), np.nan)))
    facts = save(tmp_path / "lost", "lost", [lost], [])
    assert facts["scenes"][0]["lowest_loss"] is None


def test_eight_surfaces_are_drawn_as_contours(tmp_path):
    save(tmp_path / "eight", "eight", [scene_of(partial(bowl))] * 8, [])
    assert [figure["name"] for figure in shown(tmp_path / "eight")["figures"]] == ["contours"]


# -- the edge of stability ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def edges(recipes):
    """Of two runs, one of which has no bound."""
    folder = recipes / "landscape with edges"
    words = [str(recipes / f"{name}.yaml") for name in ("sgd", "adam")]
    assert main(["landscape", *words, "--edge", "--output", str(folder), *FAST]) == 0
    return folder


def test_the_edge_is_kept_as_numbers_words_a_figure_and_a_png(edges):
    found, facts = arrays(edges), json.loads((edges / "facts.json").read_text())
    assert found["edge.0.step"].tolist() == found["0.path.0.steps"].tolist()
    assert found["edge.0.bound"].tolist() == pytest.approx([2 / SMALL.optimizer.lr] * len(found["edge.0.step"]))
    assert np.isnan(found["edge.1.bound"]).all()
    assert (found["edge.0.residual"] <= 0.02 * found["edge.0.sharpness"]).all()
    sgd, adam = (run["edge"] for run in facts["runs"])
    assert f"Sharpness {found['edge.0.sharpness'][-1]:.3g}" in sgd
    assert "adam does not step by one rate along the gradient" in adam
    page = shown(edges)
    (figure,) = [figure for figure in page["figures"] if figure["name"] == "edge"]
    assert [trace["name"] for trace in figure["data"] if "name" in trace] == [
        "sgd: 2 / lr",
        "sgd",
        "adam: edge",
        "adam",
    ]
    assert f"Edge of stability: sgd, {sgd}" in page["words"]
    with Image.open(edges / EDGE) as picture:
        assert picture.size == (1800, 600)


def test_what_is_read_between_steps_changes_no_bit_and_is_what_a_gauge_reads():
    alone, beside = (
        follow(TINY_RUN, Lens(samples=40), progress=False, device="cpu", edge=edge) for edge in (False, True)
    )
    assert all(torch.equal(weight, alone.end[name]) for name, weight in beside.end.items())
    assert [each.loss for each in beside.glimpses] == [each.loss for each in alone.glimpses]
    session = Training(TINY_RUN, device="cpu")
    for event in session:
        if isinstance(event, Step) and event.step == beside.edge[3].step:
            assert Gauge(session)().sharpness == pytest.approx(beside.edge[3].sharpness, rel=0.05)
    assert alone.edge == []


def test_a_replay_of_a_finished_run_is_refused_in_words(recipes, capsys):
    words = ["landscape", str(recipes / "run"), "--output", str(recipes / "still"), *FAST, "--replay"]
    assert main([*words, "7"]) == 2
    assert "keeps no snapshots that --replay could show. Give " in capsys.readouterr().err
    assert main([*words, "0"]) == 0


def test_the_edge_of_a_finished_run_is_refused_in_words(recipes, capsys):
    assert main(["landscape", str(recipes / "run"), "--edge", "--output", str(recipes / "none"), *FAST]) == 2
    assert (
        "keeps no snapshots at which --edge could be read; --numbers measures where it ended."
        in capsys.readouterr().err
    )


# -- through three points ----------------------------------------------------------------------------------------------


def test_of_one_run_the_plane_through_three_points_holds_three_of_its_snapshots(recipes, capsys):
    facts = command(recipes, capsys, str(recipes / "sgd.yaml"), "--plane", "points")
    found, folder = arrays(Path(facts["folder"])), Path(facts["folder"])
    (scene,) = facts["scenes"]
    assert "Plane through three points" in scene["words"]
    assert "of the variance of this path" in scene["words"]
    run = follow(SMALL.changed(model=TINY_CNN, epochs=2), Lens(samples=40), progress=False, device="cpu")
    plane, steps = Plane.load(folder / "plane.0.safetensors"), run.trail.steps
    assert found["0.path.0.steps"].tolist() == steps
    for place in (0, len(steps) // 2, len(steps) - 1):
        assert plane.project(run.trail.weights(place)).distance < 1e-5
        assert found["0.path.0.on_plane"][place] == pytest.approx(found["0.path.0.true"][place], rel=1e-4)
