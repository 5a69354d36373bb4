"""Names, notes and folders with tags, quotes, line breaks, emoji and path tricks: shown letter by letter, wherever."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml
from small_choices import stood
from small_scenes import scene_of

import lab
from lab.__main__ import read_recipe
from lab.choosing import Taken
from lab.choosing.card import code, plain, table
from lab.choosing.recommending import choose
from lab.course import predict
from lab.course.predictions import FILE, known
from lab.edge_plots import edge_figure
from lab.landscape.scenes import Scale
from lab.landscape.stability import EdgePath, Reading
from lab.landscape_folder import PAGE, save
from lab.landscape_plots import contour_figure, surface_figure
from lab.panel.choosing import taken_in_html
from lab.panel.words import TAKE_AWAY, runs_table
from lab.plots import curves
from lab.recipe import Recipe
from lab.store import RunError

NASTY = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "<!--<script>",
    "two\nlines\r\nand a tab\t",
    'it\'s "quoted" & more',
    "🙂 ☃ שלום",
    "../../etc/passwd",
    "&lt;b&gt;",
    "{{7*7}} ${HOME} $(reboot) `reboot` %s {x}",
    "- [yaml, {no: yes}] # comment",
    "a | b ** c [d](javascript:e)",
    "back\\slash",
    "__DATA__",
]
named = pytest.mark.parametrize("name", NASTY)


class Reader(HTMLParser):
    """The tags of a page, those with handlers, and what a browser would show."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.handlers: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.handlers += [key for key, _ in attributes if key.startswith("on")]


def of_folder(name: str) -> Recipe:
    return Recipe(data={"name": "folder", "path": name})


def page_of(title: str, folder: Path) -> str:
    save(folder / "kept", title, [scene_of(title=title)], [])
    return (folder / "kept" / PAGE).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def usual_tags(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Of a page of landscapes whose title is a word."""
    return Reader(page_of("usual", tmp_path_factory.mktemp("usual"))).tags


@named
def test_a_page_of_landscapes_has_no_tags_but_its_own(name: str, usual_tags: list[str], tmp_path: Path) -> None:
    page = page_of(name, tmp_path)
    nasty = Reader(page)
    assert (nasty.tags, nasty.handlers) == (usual_tags, [])
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert data
    assert "<" not in data[1], "a browser would take <!--<script> for a beginning, and not find the script's end"
    assert json.loads(data[1])["title"] == name


@named
def test_pictures_show_names_letter_by_letter(name: str) -> None:
    scene, edge = scene_of(title=name), EdgePath(name, 0, (Reading(0, 1.0, 0.1, 0.1, None, name, 512, 1259, 9),))
    runs = [lab.Run(of_folder(each), lab.events.History(), "finished") for each in (name, "other")]
    scale = Scale.of([scene])
    pictures = surface_figure([scene], scale), contour_figure([scene], scale), edge_figure([edge]), curves(runs)
    for picture in pictures:
        for text in words_of(picture.to_plotly_json()):
            assert set(re.findall(r"<[^>\s]*", text)) <= {"<br", "<extra", "</extra", "<b", "</b"}, text


def words_of(part: Any) -> Iterator[str]:
    """All texts of a figure, its template aside."""
    if isinstance(part, str):
        yield part
    for inner in part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list | tuple) else ():
        if inner[0] != "template":
            yield from words_of(inner[1])


@named
def test_a_recipe_that_is_taken_away_comes_back(name: str) -> None:
    recipe = of_folder(name)
    yaml_file, python, papermill, command = (
        TAKE_AWAY[kind][0](recipe) for kind in ("YAML", "Python", "papermill", "command")
    )
    assert Recipe.from_yaml(yaml_file) == recipe
    words = shlex.split(papermill)
    assert Recipe().changed(**yaml.safe_load(words[words.index("-y") + 1])["overrides"]) == recipe
    assert read_recipe(shlex.split(command)[2:]) == recipe
    made: dict[str, Any] = {}
    exec(python.partition("run =")[0], made)
    assert made["recipe"] == recipe


@named
def test_what_was_chosen_and_what_differs_is_shown_as_text(name: str) -> None:
    ways = [stood(each, [0.9, 0.8, 0.85]) for each in ("features", "scratch")]
    shown = []
    for word in ("usual", name):
        run = lab.Run(of_folder(word), lab.events.History(), "failed", detail=word, folder=Path(word))
        taken = Taken(choose(ways, images=500, chance=0.25), run, Path(word), True)
        shown.append(taken_in_html(taken, [word]) + runs_table({1: run, 2: lab.Run(Recipe(), run.history, "queued")}))
    usual, nasty = map(Reader, shown)
    assert (nasty.tags, nasty.handlers) == (usual.tags, [])


@named
def test_a_model_card_has_names_as_text(name: str) -> None:
    line = plain(name)
    assert len(line.splitlines()) <= 1
    assert not set(re.sub(r"\\.", "", line)) & set("<`*[")
    _, _, row = table(["class", "images"], [[line, "3"]])
    assert len(re.findall(r"(?<!\\)(?:\\\\)*\|", row)) == 3, "the cells are those of the head"
    spanned = code(name)
    fence = re.match("`+", spanned)
    assert fence
    assert spanned.endswith(fence[0])
    assert fence[0] not in spanned[len(fence[0]) : -len(fence[0])]


@pytest.mark.parametrize("text", [*NASTY, "half of a pair: \ud83d"])
def test_predictions_are_kept_letter_by_letter(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    predict("05", text, folder=tmp_path)
    assert known(tmp_path / FILE)["05"][-1]["text"] == text.strip().replace("\ud83d", "?")
    predict("05", folder=tmp_path)
    assert "You predicted: " in capsys.readouterr().out


@pytest.mark.parametrize("content", ["[]", '"x"', "3", '{"01": 3}', '{"01": []}', '{"01": [{"at": "now"}]}'])
def test_predictions_that_were_damaged_are_said_to_be(content: str, tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(content)
    with pytest.raises(RunError, match="Move it away to start anew"):
        predict("01", folder=tmp_path)
