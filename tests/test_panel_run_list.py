"""The table of runs as a person works with it: searched, pinned, noted, deleted and brought back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_panels import until

import lab
from lab.panel.words import runs_table
from lab.recipe import Recipe
from lab.run_notes import NOTE, Note, read_note, write_note
from lab.store import RunError, holding
from lab.trash import TRASH, discard, put_back

NASTY = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "two\nlines\r\nand a tab\t",
    'it\'s "quoted" & more',
    "🙂 ☃ שלום",
    "../../etc/passwd",
    "&lt;b&gt;",
    "{{7*7}} ${HOME} $(reboot) `reboot`",
    "- [yaml, {no: yes}] # comment",
]


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[lab.Panel]:
    """A panel whose runs are kept, with two ended ones."""
    panel = lab.Panel(Recipe(epochs=1), folder=tmp_path, device="cpu")
    panel.start()
    panel.recipe = Recipe(epochs=1, optimizer="adam")
    panel.start()
    panel.wait()
    yield panel
    panel.close()


def choose(panel: lab.Panel, number: int) -> None:
    panel.list.which.value = number
    panel.pump.drain()


def numbers(panel: lab.Panel) -> list[int]:
    return [entry.number for entry in panel.entries]


def lines_of(panel: lab.Panel) -> int:
    return (len(panel.curves.figure.data) - 2) // 5


def test_search_shows_runs_with_all_words_in_choices_notes_and_status(kept) -> None:
    choose(kept, 1)
    kept.list.note.value = "The Baseline"
    for words, rows in (("", 2), ("ADAM", 1), ("finished", 2), ("baseline", 1), ("adam baseline", 0), ("lstm", 0)):
        kept.list.search.value = words
        assert kept.list.table.value.count("<tr><td>") == rows, words
    assert "0 of 2 runs" in kept.list.table.value


def test_nothing_can_be_done_with_a_run_that_a_search_has_hidden(kept) -> None:
    choose(kept, 2)
    kept.list.search.value = "sgd"
    assert kept.list.chosen.number == 1
    kept.list.search.value = "of no run"
    assert kept.list.chosen is None
    assert all(tool.disabled for tool in (kept.list.pin, kept.list.load_button, kept.list.delete_button))


def test_a_pinned_run_is_at_the_top_and_stays_when_others_are_cleared(kept) -> None:
    choose(kept, 2)
    kept.list.pin.value = True
    table = kept.list.table.value
    assert table.index("adam") < table.index("sgd")
    assert table.count('aria-label="pinned"') == 1
    kept.clear()
    kept.pump.drain()
    assert numbers(kept) == [2]
    assert lines_of(kept) == 1


def test_notes_and_pins_are_kept_in_the_run_s_folder(kept) -> None:
    choose(kept, 1)
    kept.list.note.value, kept.list.pin.value = "my first", True
    assert read_note(kept.runs[0].folder) == Note("my first", True)
    choose(kept, 2)
    assert (kept.list.note.value, kept.list.pin.value) == ("", False)
    choose(kept, 1)
    assert (kept.list.note.value, kept.list.pin.value) == ("my first", True)


def test_a_note_on_a_run_that_goes_on_waits_for_its_end(tmp_path: Path) -> None:
    panel = lab.Panel(Recipe(epochs=100_000), folder=tmp_path, device="cpu")
    panel.start()
    until(panel, lambda: [run.status for run in panel.runs] == ["running"])  # stopped sooner it would have no folder
    panel.list.note.value = "long one"
    assert panel.message.value == ""
    panel.stop()
    (run,) = panel.wait()
    assert read_note(run.folder).text == "long one"
    panel.close()


def test_another_writer_s_folder_is_left_alone_and_that_is_said(kept) -> None:
    choose(kept, 1)
    with holding(kept.runs[0].folder):
        kept.list.note.value = "mine"
        kept.list.delete_button.click()
    assert "Another process is writing the run" in kept.message.value
    assert kept.runs[0].folder.is_dir()
    assert not (kept.runs[0].folder / NOTE).exists()


def test_a_deleted_run_goes_into_the_trash_and_comes_back_as_it_was(kept) -> None:
    folder, number_of_points = kept.runs[0].folder, len(kept.curves.figure.data[2].y)
    choose(kept, 1)
    kept.list.delete_button.click()
    kept.pump.drain()
    assert numbers(kept) == [2]
    assert lines_of(kept) == 1
    assert not folder.exists()
    assert [path.name for path in (folder.parent / TRASH).iterdir()] == [folder.name]
    assert list(lab.runs.table(folder.parent).folder) == [str(kept.runs[0].folder)]
    kept.list.undo_button.click()
    kept.pump.drain()
    assert numbers(kept) == [1, 2]
    assert lab.open_run(folder).history.loss == kept.runs[0].history.loss
    assert not list((folder.parent / TRASH).iterdir())
    assert sorted(len(trace.y) for trace in kept.curves.figure.data[2::5]) == [number_of_points] * 2
    assert kept.list.undo_button.disabled


def test_a_run_that_goes_on_cannot_be_deleted(panel) -> None:
    panel.recipe = Recipe(epochs=100_000)
    panel.start()
    panel.pump.drain()
    assert panel.list.delete_button.disabled
    panel.list.delete_button.click()  # as a browser might that is a moment behind
    assert "goes on: stop it before you delete it" in panel.message.value
    panel.stop()
    panel.wait()
    assert not panel.list.delete_button.disabled


def test_runs_in_memory_are_deleted_and_come_back_too(panel) -> None:
    panel.recipe = Recipe(epochs=1)
    for _ in range(3):
        panel.start()
    panel.wait()
    choose(panel, 2)
    panel.list.delete()
    choose(panel, 3)
    panel.list.delete()
    assert numbers(panel) == [1]
    panel.list.undo()
    panel.list.undo()
    panel.pump.drain()
    assert numbers(panel) == [1, 2, 3]
    panel.start()
    panel.wait()
    assert numbers(panel) == [1, 2, 3, 4]


def test_undo_says_what_is_in_its_way_and_can_be_tried_again(kept) -> None:
    folder = kept.runs[0].folder
    choose(kept, 1)
    kept.list.delete()
    folder.mkdir()
    kept.list.undo_button.click()
    assert "There is another folder" in kept.message.value
    assert numbers(kept) == [2]
    folder.rmdir()
    kept.list.undo()
    assert numbers(kept) == [1, 2]


def test_load_sets_the_controls_to_a_run_s_choices_but_what_is_locked(tmp_path: Path) -> None:
    panel = lab.Panel(Recipe(optimizer="adam"), folder=None, device="cpu", lock={"epochs": 1})
    panel.start()
    panel.wait()
    panel.recipe = Recipe()
    panel.entries[0].run.recipe = panel.entries[0].run.recipe.changed(epochs=9)
    panel.list.load_button.click()
    assert (panel.recipe.optimizer.name, panel.recipe.epochs) == ("adam", 1)
    panel.close()


def test_no_note_breaks_or_injects_anything(kept) -> None:
    before = {path.name for path in kept.folder.iterdir()}
    choose(kept, 1)
    for text in NASTY:
        kept.list.search.value = ""
        kept.list.note.value = text
        assert read_note(kept.runs[0].folder).text == kept.list.note.value == text
        table = kept.list.table.value
        assert not any(tag in table for tag in ("<script", "<img", "<b>")), text
        kept.list.search.value = text
        assert table.count("<tr><td>") == 2, text
        assert {path.name for path in kept.folder.iterdir()} == before
        assert lab.open_run(kept.runs[0].folder).problems == [], text


@given(text=st.text(), pinned=st.booleans())
def test_every_note_comes_back_and_is_shown_as_text(
    tmp_path_factory: pytest.TempPathFactory, text: str, pinned: bool
) -> None:
    folder = tmp_path_factory.mktemp("run")
    write_note(folder, Note(text, pinned))
    assert read_note(folder) == Note(text, pinned)
    run = lab.Run(Recipe(), lab.events.History(), "finished")
    plain, noted = runs_table({1: run}), runs_table({1: run}, {1: Note(text)})
    assert noted.count("<") - plain.count("<") == (2 if text else 0)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"text": 3, "pinned": "yes"}', b"\xff\xfe"])
def test_a_damaged_note_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / NOTE).write_bytes(content)
    assert read_note(tmp_path).pinned is False
    assert read_note(tmp_path / "nowhere") == Note()


def test_what_has_the_same_name_in_the_trash_stays_there(tmp_path: Path) -> None:
    folder, trashed = tmp_path / "run", []
    for content in ("one", "two"):
        folder.mkdir()
        (folder / "file").write_text(content)
        trashed.append(discard(folder))
    assert [(place / "file").read_text() for place in trashed] == ["one", "two"]
    put_back(trashed[0], folder)
    assert (folder / "file").read_text() == "one"
    with pytest.raises(RunError, match="There is another folder"):
        put_back(trashed[1], folder)
    with pytest.raises(RunError, match="it was taken out of the trash"):
        put_back(trashed[0], tmp_path / "elsewhere")
    with pytest.raises(RunError, match="There is no folder"):
        discard(tmp_path / "nowhere")


def test_the_list_of_runs_says_a_name_in_full_that_it_may_have_no_room_for(kept) -> None:
    choose(kept, 2)
    assert kept.helper.titles["lab-which"] == "Which run the buttons beside are about: 2 adam"
    choose(kept, 1)
    assert kept.helper.titles["lab-which"].endswith(": 1 sgd")
    kept.list.delete()
    kept.clear()
    kept.pump.drain()
    assert kept.helper.titles["lab-which"] == "Which run the buttons beside are about"


@pytest.mark.parametrize(("objective", "words"), [("supervised", 0), ("simclr", 1)])
def test_an_accuracy_that_no_labels_were_trained_for_is_called_fitted(objective: str, words: int) -> None:
    recipe = Recipe(objective=objective, augment=["flip"])
    epoch = lab.events.Epoch(0, 1, 0.5, 0.9, 123456.789, 0.875, 1.0)
    run = lab.Run(recipe, lab.events.History(epochs=[epoch]), "finished")
    table = runs_table({1: run})
    assert table.count(">fitted</abbr>") == words
    assert ">0.8750" in table
    assert ">1.235e+05<" in table, "a loss that is huge does not widen the table"
