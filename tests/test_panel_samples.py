"""The panel's list of augmentations and the pictures beside it, without a browser."""

from __future__ import annotations

from io import BytesIO

import ipywidgets
import pytest
from PIL import Image
from small_augmentations import blended, offered
from small_panels import until

import lab
from lab.panel.samples import Clicked, Kept
from lab.panel.sides import per_row
from lab.recipe import Recipe


def names(panel) -> list[str]:
    return [choice.name for choice in panel.recipe.augment]


def entry(panel, name: str):
    return next(each for each in panel.controls["augment"].entries if each.name == name)


def shown(panel) -> list:
    """The views of the sides that are to be seen."""
    return [view for view in panel.samples.views if view.widget.layout.display != "none"]


def answered(panel) -> list:
    """Wait for the answer to the newest question; the sides."""
    until(panel, lambda: panel.samples.answer is not None and panel.samples._heard == panel.samples._number)
    return shown(panel)


# -- the list ---------------------------------------------------------------------------------------------------


def test_what_is_added_stands_at_the_end_once(panel) -> None:
    control = panel.controls["augment"]
    assert set(control.dropdown.options) == set(lab.augmentations)
    for name in ("crop", "flip"):
        control.dropdown.value = name
        control.add.click()
    assert names(panel) == ["crop", "flip"]
    assert not {"crop", "flip"} & set(control.dropdown.options)


def test_entries_move_up_and_down_but_not_beyond_the_ends(panel) -> None:
    panel.recipe = Recipe(augment=["flip", "crop"])
    flip, crop = panel.controls["augment"].entries
    assert (flip.up.disabled, flip.down.disabled) == (True, False)
    assert (crop.up.disabled, crop.down.disabled) == (False, True)
    crop.up.click()
    assert names(panel) == ["crop", "flip"]
    assert crop.up.disabled
    crop.up.click()
    assert names(panel) == ["crop", "flip"]
    crop.down.click()
    assert names(panel) == ["flip", "crop"]


def test_what_is_switched_off_leaves_the_recipe_and_comes_back_as_it_was(panel) -> None:
    panel.recipe = Recipe(augment=[{"name": "flip", "p": 0.2}, "crop"])
    entry(panel, "flip").on.value = False
    assert names(panel) == ["crop"]
    assert "flip" not in panel.take_away.text.value
    assert "flip" not in panel.controls["augment"].dropdown.options
    panel.controls["augment"].refresh()
    entry(panel, "flip").on.value = True
    assert panel.recipe.augment == Recipe(augment=[{"name": "flip", "p": 0.2}, "crop"]).augment


def test_what_is_removed_can_be_added_again_with_its_defaults(panel) -> None:
    panel.recipe = Recipe(augment=[{"name": "flip", "p": 0.2}, "crop"])
    control = panel.controls["augment"]
    control.remove(entry(panel, "flip"))
    assert names(panel) == ["crop"]
    control.dropdown.value = "flip"
    control.add.click()
    assert panel.recipe.augment == Recipe(augment=["crop", "flip"]).augment


def test_a_strength_is_the_recipes_and_unfolds(panel) -> None:
    panel.recipe = Recipe(augment=["flip"])
    flip = entry(panel, "flip")
    flip.settings["p"].slider.value = 0.75
    assert panel.recipe.augment[0].p == 0.75
    flip.fold.value = False
    assert flip.pane.layout.display == "none"
    flip.about.button.value = True
    assert "Krizhevsky" in flip.about.text.value


def test_each_entry_says_what_it_does(panel) -> None:
    panel.recipe = Recipe(augment=["flip", "crop"])
    titles = panel.helper.titles
    assert titles["lab-augment-flip"] == lab.augmentations.sentence("flip")
    assert titles["lab-entry-flip .lab-p"].startswith("share of the samples")
    panel.recipe = Recipe()
    panel.controls["augment"].dropdown.value = "crop"
    assert panel.helper.titles["lab-augment"] == lab.augmentations.sentence("crop")


def test_an_option_from_a_cell_can_be_added_and_written_anew(panel) -> None:
    def late(images, generator, *, strength: float = 0.5):
        """Comes late. Source: this test."""
        return images

    def written_anew(images, generator, *, other: float = 0.5):
        """Comes late. Source: this test."""
        return images

    written_anew.__name__ = "late"
    panel.recipe = Recipe(augment=["flip"])
    with offered(late):
        panel.pump.drain()
        control = panel.controls["augment"]
        assert "late" in control.dropdown.options
        control.dropdown.value = "late"
        control.add.click()
        lab.augmentations.add(written_anew)
        panel.pump.drain()
        assert list(control.chosen["late"]) == ["other"]
        assert names(panel) == ["flip", "late"]
        panel.recipe = Recipe()


def test_moving_and_removing_leaves_no_widgets_behind(panel) -> None:
    def alive() -> int:
        return len(ipywidgets.widgets.widget._instances)

    control = panel.controls["augment"]
    before = alive()
    for name in ("flip", "crop"):
        control.dropdown.value = name
        control.add.click()
    entry(panel, "crop").up.click()
    for each in list(control.entries):
        control.remove(each)
    assert alive() == before


# -- the pictures -----------------------------------------------------------------------------------------------


def size_of(view) -> tuple[int, int]:
    with Image.open(BytesIO(view.tiles.value)) as picture:
        return picture.size


def test_without_augmentations_there_are_words_and_nothing_is_computed(panel) -> None:
    assert panel.samples.empty.layout.display is None
    assert panel.samples._asked is None
    assert shown(panel) == []


def test_the_raw_images_stand_beside_the_augmented_ones_and_follow_the_sliders(panel) -> None:
    panel.recipe = Recipe(augment=["flip"])
    raw, flipped = answered(panel)
    first = raw.tiles.value, flipped.tiles.value
    assert size_of(raw) == size_of(flipped)
    assert flipped.widget.layout.width == f"{size_of(flipped)[0]}px"
    entry(panel, "flip").settings["p"].value = 0
    raw, still = answered(panel)
    assert still.tiles.value == raw.tiles.value == first[0] != first[1]
    assert "flip(p=0.0)" in still.title.value


def test_a_change_that_is_not_seen_asks_for_nothing(panel) -> None:
    panel.recipe = Recipe(augment=["flip"])
    answered(panel)
    number = panel.samples._number
    panel.recipe = Recipe(augment=["flip"], epochs=3, optimizer="adam")
    assert panel.samples._number == number


def test_reroll_draws_anew_and_a_pinned_image_stays(panel) -> None:
    panel.recipe = Recipe(augment=["crop"])
    raw, _ = answered(panel)
    before = raw.tiles.value
    panel.samples.tile.value = 3
    third = panel.samples.answer.index[2]
    panel.samples.buttons["samples-roll"].click()
    raw, _ = answered(panel)
    assert raw.tiles.value != before
    third = panel.samples.answer.index[2]
    panel.samples.pin.value = True
    raw, cropped = answered(panel)
    assert set(panel.samples.answer.index) == {third}
    pinned, crops = raw.tiles.value, cropped.tiles.value
    panel.samples.buttons["samples-roll"].click()
    raw, cropped = answered(panel)
    assert raw.tiles.value == pinned
    assert cropped.tiles.value != crops


def test_a_click_pins_the_image_under_it_and_a_second_one_lets_it_go(panel) -> None:
    panel.recipe = Recipe(augment=["crop"])
    answered(panel)
    sixth = panel.samples.answer.index[5]
    panel.helper.clicked = [0.3, 0.3, 1]  # second of four columns, second of four rows
    until(panel, lambda: panel.samples.pin.value)
    answered(panel)
    assert set(panel.samples.answer.index) == {sixth}
    panel.samples.hear(Clicked(0.9, 0.9, 2))
    answered(panel)
    assert len(set(panel.samples.answer.index)) == 16


def test_other_data_let_the_pinned_image_go(panel) -> None:
    panel.recipe = Recipe(augment=["crop"])
    answered(panel)
    panel.samples.pin.value = True
    answered(panel)
    panel.recipe = Recipe(augment=["crop"], modify=[{"name": "subset", "per_class": 1}])
    answered(panel)
    assert not panel.samples.pin.value
    assert len(panel.samples.answer.index) == 10


def test_the_stages_are_shown_below_each_side(panel) -> None:
    panel.recipe = Recipe(augment=["flip", "crop"])
    panel.samples.stages.value = True
    raw, both = answered(panel)
    assert raw.stages.layout.display == "none"
    assert both.stages.layout.display is None
    assert bytes(both.stages.value).startswith(b"\x89PNG")
    panel.samples.stages.value = False
    assert answered(panel)[1].stages.layout.display == "none"


def test_an_image_stands_at_one_height_on_all_sides(panel) -> None:
    panel.recipe = Recipe(augment=["flip"])
    panel.samples.keep()
    panel.recipe = Recipe(augment=[{"name": "cutmix", "p": 1}])
    heights = {Image.open(BytesIO(view.tiles.value)).height for view in answered(panel)}
    assert len(heights) == 1


def test_two_lists_stand_in_one_row_before_the_raw_images_where_three_do_not_fit(panel) -> None:
    panel.recipe = Recipe(augment=["flip"])
    panel.samples.keep()
    panel.recipe = Recipe(augment=["crop"])
    for width, order in ((600, "1"), (1000, "0")):
        panel.samples.set_width(width)
        answered(panel)
        assert panel.samples.views[0].widget.layout.order == order


def test_what_is_kept_and_arms_stand_side_by_side_up_to_four(panel) -> None:
    for padding in range(1, 4):
        panel.recipe = Recipe(augment=[{"name": "crop", "padding": padding}])
        panel.comparing.add_recipe()
    panel.recipe = Recipe(augment=["flip"])
    answered(panel)
    titles = [view.title.value.partition(">")[2] for view in shown(panel)]
    assert [title.count("crop(") for title in titles] == [0, 0, 1, 1, 1]  # an arm's name says it already
    assert panel.samples.buttons["samples-keep"].disabled
    panel.recipe = Recipe(augment=["flip", "crop"])
    panel.samples.kept.append(Kept("one more", ()))
    panel.samples.refresh()
    assert len(answered(panel)) == 5
    assert "1 more list is not shown: four stand side by side." in panel.samples.note.value
    panel.samples.drop()
    panel.comparing.arms.clear()
    assert len(answered(panel)) == 2
    panel.samples.keep()
    panel.recipe = Recipe(augment=["crop"])
    *_, kept = answered(panel)
    assert "kept 1" in kept.title.value
    panel.samples.drop()
    assert len(answered(panel)) == 2


def test_equal_lists_are_one_side_and_arms_on_other_data_none(panel) -> None:
    panel.recipe = Recipe(augment=["flip"])
    panel.comparing.add_recipe()
    panel.recipe = Recipe(augment=["flip"], optimizer="adam")
    panel.comparing.add_recipe()
    _, both = answered(panel)
    assert "controls, sgd" in both.title.value
    assert "adam" in both.title.value
    panel.recipe = Recipe(augment=["crop"], modify=["subset"])
    assert len(answered(panel)) == 2


def test_the_grids_follow_while_a_run_trains(panel) -> None:
    panel.recipe = Recipe(epochs=50_000, augment=["flip"])
    panel.start()
    panel.pump.drain()
    until(panel, lambda: panel.runs[0].history.loss)
    panel.recipe = Recipe(epochs=50_000, augment=["flip", "crop"])
    assert "crop" in answered(panel)[1].title.value
    assert panel.runs[0].status == "running"
    panel.stop()
    panel.wait()


def test_mixtures_have_shares_and_other_themes_other_paper(panel) -> None:
    with offered(blended):
        panel.recipe = Recipe(augment=["blended"])
        light = [view.tiles.value for view in answered(panel)]
        panel.samples.set_theme(dark=True)
        dark = [view.tiles.value for view in answered(panel)]
        assert all(a != b for a, b in zip(light, dark, strict=True))
        panel.recipe = Recipe()


def test_the_sides_are_written_to_a_file_and_none_is_overwritten(panel, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    panel.recipe = Recipe(augment=["flip"])
    answered(panel)
    for name in ("samples.png", "samples1.png"):
        panel.samples.buttons["samples-export"].click()
        until(panel, lambda name=name: name in panel.samples.note.value)
        with Image.open(tmp_path / name) as picture:
            assert picture.width > 2 * size_of(shown(panel)[0])[0]


def test_a_picture_that_cannot_be_written_is_said_in_words(panel, tmp_path, monkeypatch) -> None:
    panel.recipe = Recipe(augment=["flip"])
    answered(panel)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    panel.samples.export()
    until(panel, lambda: "Cannot write the picture: No space left on device" in panel.samples.note.value)


def test_missing_data_are_answered_in_words_and_asked_for_again(panel, tmp_path) -> None:
    panel.recipe = Recipe(augment=["flip"])
    assert len(answered(panel)) == 2
    panel.recipe = Recipe(augment=["flip"], data={"name": "folder", "path": "nowhere"})
    until(panel, lambda: "There is no folder nowhere" in panel.samples.problem.value)
    assert all(view.widget.layout.display == "none" for view in panel.samples.views)  # they are of other images
    panel.recipe = Recipe(augment=["flip"])
    assert len(answered(panel)) == 2
    assert panel.samples.problem.value == ""


def test_folded_it_asks_for_nothing_and_stays_so(panel) -> None:
    panel.samples.fold.value = False
    panel.recipe = Recipe(augment=["flip"])
    assert panel.samples._asked is None
    again = lab.Panel(folder=None, device="cpu")
    assert not again.samples.fold.value
    again.samples.fold.value = True
    again.recipe = Recipe(augment=["flip"])
    assert len(answered(again)) == 2
    again.close()


def test_pictures_are_named_for_those_who_do_not_see_them(panel) -> None:
    panel.recipe = Recipe(augment=["flip"])
    answered(panel)
    assert panel.helper.titles["lab-side-1"] == "Training images, after flip"
    assert panel.helper.titles["lab-side-0"] == "Training images, as they are"


@pytest.mark.parametrize(
    ("count", "width", "beside"), [(2, 1000, 2), (3, 1000, 3), (4, 1000, 2), (5, 1000, 3), (3, 600, 2), (2, 300, 1)]
)
def test_sides_get_the_room_there_is(count: int, width: int, beside: int) -> None:
    assert per_row(count, width) == beside
