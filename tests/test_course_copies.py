"""One's own copies of the notebooks: new as long as nobody changes them, then left alone."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from lab.course.copies import SHIPPED, renewed

ROOT = Path(__file__).parents[1]


@pytest.fixture
def notebooks(tmp_path: Path) -> Path:
    (tmp_path / "notebooks" / "course").mkdir(parents=True)
    (tmp_path / "notebooks" / "lab.ipynb").write_text("panel 1")
    (tmp_path / "notebooks" / "course" / "01.ipynb").write_text("chapter 1")
    return tmp_path / "notebooks"


def test_a_copy_that_nobody_changed_follows_and_a_changed_one_stays_and_is_told(notebooks: Path) -> None:
    mine = notebooks.parent / "mine"
    assert renewed(notebooks, mine) == []
    (mine / "course" / "01.ipynb").write_text("with my answers")
    assert renewed(notebooks, mine) == [], "the chapter is no other than it was"
    (notebooks / "lab.ipynb").write_text("panel 2")
    (notebooks / "course" / "01.ipynb").write_text("chapter 2")
    (said,) = renewed(notebooks, mine)
    assert (mine / "lab.ipynb").read_text() == "panel 2"
    assert (mine / "course" / "01.ipynb").read_text() == "with my answers"
    assert said.startswith(f"{mine / 'course' / '01.ipynb'} stays, as you have changed it; ")
    assert renewed(notebooks, mine) == [said]
    (mine / "course" / "01.ipynb").rename(mine / "course" / "old.ipynb")
    assert renewed(notebooks, mine) == []
    assert (mine / "course" / "01.ipynb").read_text() == "chapter 2"


def test_a_copy_that_was_only_opened_is_not_changed(notebooks: Path) -> None:
    mine, shipped = notebooks.parent / "mine", notebooks / "lab.ipynb"
    cell = {"cell_type": "code", "source": "panel", "outputs": []}
    shipped.write_text(json.dumps({"cells": [cell], "metadata": {}}))
    renewed(notebooks, mine)
    opened = json.dumps({"cells": [cell], "metadata": {"language_info": {"version": "3.14.1"}}}, indent=1)
    (mine / "lab.ipynb").write_text(opened)
    assert renewed(notebooks, mine) == []
    shipped.write_text(json.dumps({"cells": [cell | {"source": "newer"}], "metadata": {}}))
    assert renewed(notebooks, mine) == []
    assert "newer" in (mine / "lab.ipynb").read_text()
    (mine / "lab.ipynb").write_text(json.dumps({"cells": [cell | {"source": "mine"}], "metadata": {}}))
    shipped.write_text(json.dumps({"cells": [cell], "metadata": {}}))
    assert len(renewed(notebooks, mine)) == 1


@pytest.mark.parametrize("record", [None, "", "[1]", "null"])
def test_of_which_copies_nothing_is_known_those_that_differ_stay(notebooks: Path, record: str | None) -> None:
    mine = notebooks.parent / "mine"
    renewed(notebooks, mine)
    (mine / "lab.ipynb").write_text("mine, or an older one")
    (mine / SHIPPED).unlink() if record is None else (mine / SHIPPED).write_text(record)
    assert len(renewed(notebooks, mine)) == 1
    assert (mine / "lab.ipynb").read_text() == "mine, or an older one"
    assert list(json.loads((mine / SHIPPED).read_text())) == ["course/01.ipynb"]


def test_a_copy_is_whole_or_not_there(notebooks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut_off(path: Path, content: bytes) -> None:
        with path.open("wb") as file:
            file.write(content[:3])
        raise OSError("no space left")

    mine = notebooks.parent / "mine"
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", cut_off)
        with pytest.raises(OSError, match="no space"):
            renewed(notebooks, mine)
    assert not (mine / "lab.ipynb").exists()
    assert renewed(notebooks, mine) == []
    assert (mine / "lab.ipynb").read_text() == "panel 1"


def test_make_takes_a_folder_that_is_seen_from_here_and_says_what_fails(tmp_path: Path) -> None:
    for place in ("Makefile", "lab", "notebooks"):
        (tmp_path / place).symlink_to(ROOT / place)
    subprocess.run(["make", "mine", "MINE=my own"], cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "my own" / "lab.ipynb").read_bytes() == (ROOT / "notebooks" / "lab.ipynb").read_bytes()
    done = subprocess.run(["make", "mine", "MINE=Makefile"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode
    assert "Cannot copy the notebooks to Makefile" in done.stderr
