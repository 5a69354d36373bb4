"""What goes to a cluster's machines and comes back: no run is trained twice that has ended already."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path
from unittest.mock import Mock

import pytest
from small_sweeps import FEW, Here, sweep_of, swept

import lab
from lab.store import RunError
from lab.sweeps import Sweeping, cluster, points
from lab.sweeps.cluster import Cluster, Parcel, alone_in, files_of, name_of, own_folder, parcelled, place_for, unpack


@pytest.fixture(autouse=True)
def place_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.chdir(tmp_path)
    return temporary


class OnThisMachine(Cluster):
    """Hands orders to the function that a cluster's machines execute, here."""

    def __init__(self) -> None:
        self.under_way, self.sent, self.room = {}, [], 2
        self.task = Mock(remote=self.send)

    def __enter__(self) -> OnThisMachine:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def send(self, *given: object) -> int:
        self.sent.append(given)
        return len(self.sent) - 1

    def next(self) -> lab.sweeps.Outcome:
        place = next(iter(self.under_way))
        order, parcel = self.under_way.pop(place), parcelled(*self.sent[place])
        unpack(parcel, order)
        return parcel.outcome


def test_a_run_that_has_ended_unheard_is_sent_along_and_only_its_notebook_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = {"base": FEW, "grid": {"optimizer.lr": [0.1, 0.2]}}
    before = swept(tmp_path / "out", spec, Here())
    (tmp_path / "out" / "outcomes.jsonl").unlink()
    half = before.folder.run(before.sweep.points[1].id)
    (half / "weights.safetensors").write_bytes(b"")  # damaged: trained anew
    trained = []
    monkeypatch.setattr(
        cluster, "done", lambda order: trained.append(sorted(files_of(order.folder))) or points.done(order)
    )
    monkeypatch.setattr(
        points, "execute", lambda order, _: points.completed(lab.Recipe.from_yaml(order.recipe), order.folder)
    )
    engine = OnThisMachine()
    sweeping = Sweeping(sweep_of(spec), tmp_path / "out", device="cpu")
    assert [outcome.status for _, outcome in sweeping.over(engine)] == ["finished"] * 2
    sent, new = trained
    assert "weights.safetensors" in sent
    assert new == []
    assert lab.open_run(half).weights is not None


def test_what_an_attempt_left_is_found_by_the_next_and_gone_after_it(place_of_its_own: Path) -> None:
    left = own_folder("lab-points") / "sweep-point"
    left.mkdir()
    (left / "run").touch()
    with place_for("sweep-point") as place:
        assert place == left
        assert (place / "run").exists()
        with place_for("sweep-point") as other, place_for("sweep-other") as third:
            assert len({place, other, third}) == 3
            assert list(other.iterdir()) == []
    assert list(left.parent.iterdir()) == []
    assert [path.name for path in place_of_its_own.iterdir()] == [left.parent.name]


def test_the_same_command_started_again_finds_what_the_one_before_it_left(tmp_path: Path) -> None:
    order, options = points.Order("0" * 12, "{}", tmp_path / "out" / "runs" / "0"), (("own.py", "import lab"),)
    names = {name_of(order, options) for _ in range(2)}
    elsewhere = points.Order("0" * 12, "{}", tmp_path / "other" / "runs" / "0")
    assert len(names) == 1
    assert name_of(elsewhere, options) not in names  # another sweep's run of the same recipe is its own
    assert name_of(order, (("own.py", "import lab, os"),)) not in names


def test_what_nobody_came_back_for_is_deleted_after_a_day() -> None:
    places = own_folder("lab-points")
    for name in ("old", "held", "new", "written", "gone"):
        (places / name / "run").mkdir(parents=True)
    for name in ("old", "held"):
        os.utime(places / name / "run", (0, 0))
    for name in ("old", "held", "written"):
        os.utime(places / name, (0, 0))
    with alone_in(places / "held") as alone, place_for("gone"):
        assert alone
    assert sorted(path.name for path in places.iterdir()) == ["held", "new", "written"]


def test_who_has_opened_a_folder_before_it_was_deleted_does_not_hold_the_one_made_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, opened = tmp_path / "point", os.open

    def late(*given: object) -> int:
        descriptor = opened(*given)
        folder.rename(tmp_path / "deleted")
        folder.mkdir()
        return descriptor

    folder.mkdir()
    with monkeypatch.context() as patched:
        patched.setattr(os, "open", late)
        with alone_in(folder) as late_one:
            assert not late_one
    with alone_in(folder) as first, alone_in(folder) as second:
        assert (first, second) == (True, False)
    with alone_in(tmp_path / "none") as nothing:
        assert not nothing


def test_a_machine_where_nothing_can_be_written_says_so_in_the_outcome(place_of_its_own: Path, tmp_path: Path) -> None:
    (place_of_its_own / f"lab-points-{os.getuid()}").mkdir()
    (place_of_its_own / f"lab-points-{os.getuid()}").chmod(0o777)
    outcome = parcelled(points.Order("0" * 12, "{}", Path("run")), (), str(tmp_path), "point", {}).outcome
    assert (outcome.id, outcome.status) == ("0" * 12, "failed")
    assert outcome.detail.endswith("is not this user's alone. Delete it, or name another place in TMPDIR.")


@pytest.mark.parametrize("made", ["open to others", "a link"])
def test_a_folder_that_another_user_could_have_made_is_not_written_in(made: str, place_of_its_own: Path) -> None:
    folder, elsewhere = place_of_its_own / f"lab-options-{os.getuid()}", place_of_its_own / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    if made == "a link":
        folder.symlink_to(elsewhere)
    else:
        folder.mkdir()
        folder.chmod(0o777)
    with pytest.raises(RunError, match=r"lab-options-\d+ is not this user's alone\. Delete it, or name another place"):
        own_folder("lab-options")
    folder.unlink() if made == "a link" else folder.rmdir()
    assert stat.S_IMODE(own_folder("lab-options").stat().st_mode) == 0o700


def test_a_point_without_files_leaves_what_was_there(tmp_path: Path) -> None:
    order = points.Order("0" * 12, "{}", tmp_path / "run")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "kept").touch()
    unpack(Parcel(lab.sweeps.Outcome(order.id, "failed"), {}, None), order)
    assert (tmp_path / "run" / "kept").exists()
