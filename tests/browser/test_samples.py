"""Augmented samples in the panel, in a real browser: of digits, and of a person's own images."""

from __future__ import annotations

import base64
import contextlib
import os
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from jupyterlab_window import LONG, Window, add_augmentation, press  # pyright: ignore[reportMissingImports]
from PIL import Image
from playwright.sync_api import TimeoutError as TookTooLong
from small_files import pictures

from lab.sheets import FRAME

pytestmark = pytest.mark.browser

SIDES = """() => [...document.querySelectorAll('.lab-side img.lab-tiles')]
  .filter(image => image.offsetParent && image.naturalWidth).map(image => image.src)"""


def sides_change(window: Window, before: list[str], count: int) -> list[str]:
    """So many sides, of which the last is another picture than before; all of them."""
    window.page.wait_for_function(
        f"([old, n]) => {{ const now = ({SIDES})(); return now.length === n && now.at(-1) !== old }}",
        arg=[before[-1] if before else "", count],
    )
    return window.page.evaluate(SIDES)


def keep(window: Window) -> None:
    """A press is lost where the page moves between down and up: a person presses again, and equal lists are one."""
    assert window.page.locator(".lab-samples-drop").is_disabled()
    for _ in range(3):
        press(window, "samples-keep")
        with contextlib.suppress(TookTooLong):
            window.page.wait_for_selector(".lab-samples-drop:enabled", timeout=15_000)
            return
    window.page.wait_for_selector(".lab-samples-drop:enabled")


def test_augmented_samples_follow_the_list_also_while_training(panel: Window) -> None:
    panel.recipe(**LONG)
    press(panel, "train")
    panel.state("running")
    add_augmentation(panel, "flip")
    add_augmentation(panel, "crop")
    sides = sides_change(panel, [], 2)
    handle = panel.page.locator(".lab-entry-crop .noUi-handle")
    handle.focus()
    handle.press("End")
    moved = sides_change(panel, sides, 2)
    assert len(panel.page.locator(".lab-side-1 img").first.get_attribute("alt") or "") > 20
    keep(panel)
    panel.page.locator(".lab-augment-flip input").uncheck()
    kept = sides_change(panel, moved, 3)
    panel.page.locator(".lab-side-0 img.lab-tiles").click(position={"x": 40, "y": 40})
    panel.page.wait_for_selector(".lab-pin.mod-active")
    sides_change(panel, kept, 3)
    press(panel, "stages")
    panel.page.wait_for_function(
        "() => [...document.querySelectorAll('.lab-side img')].filter(i => i.offsetParent).length > 4"
    )
    panel.state("running")
    assert panel.kernel("print(panel.recipe.augment)") == "(crop(name='crop', padding=16, fill='zero'),)"
    assert panel.errors == []


def test_the_list_of_augmentations_is_moved_by_keyboard(panel: Window) -> None:
    panel.recipe(augment=["flip", "crop"])
    panel.page.wait_for_selector(".lab-entry-crop .lab-icon-up:enabled")
    panel.page.locator(".lab-entry-crop .lab-icon-up").focus()
    panel.page.keyboard.press("Enter")
    panel.page.wait_for_selector(".lab-entry-crop + .lab-entry-flip")
    panel.page.wait_for_selector(".lab-entry-crop .lab-icon-down:focus")  # at the top only down is left
    panel.page.keyboard.press("Enter")
    panel.page.wait_for_selector(".lab-entry-flip + .lab-entry-crop")
    assert panel.kernel("print([choice.name for choice in panel.recipe.augment])") == "['flip', 'crop']"
    icons = panel.page.locator(".lab-entry-head button")
    assert all(icons.nth(place).get_attribute("title") for place in range(icons.count()))
    panel.page.locator(".lab-entry-flip .lab-icon-remove").click()
    panel.page.wait_for_selector(".lab-entry-flip", state="detached")
    assert panel.errors == []


READ = """async (places) => {
  const images = [...document.querySelectorAll('.lab-side img.lab-tiles')].filter(image => image.offsetParent);
  const read = async (image) => {
    const bytes = new Uint8Array(await (await fetch(image.src)).arrayBuffer());
    return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join('')) };
  return Promise.all(images.map(read)) }"""


def captions_and_tiles(window: Window) -> list[tuple[np.ndarray, np.ndarray]]:
    """Of each side the rows of pixels between the tiles, and those that cross tiles."""
    found: list[tuple[np.ndarray, np.ndarray]] = []
    for file in window.page.evaluate(READ):
        rows = np.asarray(Image.open(BytesIO(base64.b64decode(file))).convert("RGB"))
        crossing = (rows[:, 0] == FRAME).all(1)  # the first column is the edge of the first tiles
        found.append((rows[~crossing], rows[crossing]))
    return found


def screenshot(window: Window, name: str) -> None:
    """Kept where a person wants to look at it."""
    if folder := os.environ.get("LAB_SCREENSHOTS"):
        window.page.locator(".lab-samples").screenshot(path=Path(folder, f"{name}.png"))


def choose_folder(window: Window, path: Path) -> None:
    window.page.get_by_label("data", exact=True).select_option("folder")
    window.page.get_by_label("path", exact=True).fill(str(path))
    window.page.keyboard.press("Tab")


def shows(window: Window, side: int, words: str) -> None:
    """The side shows its images after this; so it says only after it has them."""
    window.page.wait_for_selector(f".lab-side-{side} img.lab-tiles[alt*='{words}']")


def test_two_policies_on_own_images_stand_side_by_side_and_train(panel: Window, tmp_path: Path) -> None:
    panel.recipe(**LONG, batch_size=4, **{"optimizer.lr": 0.001})
    choose_folder(panel, pictures(tmp_path / "mine", "cats", "dogs", each=12))
    add_augmentation(panel, "solarise")
    shows(panel, 1, "solarise")
    keep(panel)
    panel.page.locator(".lab-augment-solarise input").uncheck()
    add_augmentation(panel, "rotation")
    shows(panel, 1, "after rotation")
    shows(panel, 2, "solarise")
    raw, turned, solarised = captions_and_tiles(panel)
    assert (raw[0] < 100).any()  # letters
    assert all(np.array_equal(side[0], raw[0]) for side in (turned, solarised))
    assert len({tiles.tobytes() for _, tiles in (raw, turned, solarised)}) == 3
    screenshot(panel, "own-images")
    press(panel, "train")
    panel.state("running")
    handle = panel.page.locator(".lab-entry-rotation .lab-degrees .noUi-handle")
    handle.focus()
    handle.press("End")
    shows(panel, 1, "rotation(degrees=45")
    panel.state("running")
    still, further, as_before = captions_and_tiles(panel)
    assert np.array_equal(still[1], raw[1])
    assert np.array_equal(as_before[1], solarised[1])
    assert np.array_equal(further[0], turned[0])
    assert not np.array_equal(further[1], turned[1])
    press(panel, "stop")
    panel.state("stopped")
    assert (
        panel.kernel("print(panel.runs[0].recipe.data.name, panel.runs[0].recipe.augment[0].degrees)") == "folder 15.0"
    )
    assert panel.errors == []
