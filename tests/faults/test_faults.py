"""Kills, full disks, cut and foreign files: a run survives them, or says what is wrong."""

import json
import multiprocessing
import os
import pickle
import random
import re
import resource
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import lab
from lab.recipe import Recipe
from lab.runs import table
from lab.store import CHECKPOINT, HISTORY, PREVIOUS, RECIPE, RUN, WEIGHTS, Recorder, RunError, latest_state
from lab.training import Step, Training

SGD = Recipe(
    modify=[{"name": "subset", "per_class": 4}],
    model={"name": "cnn", "width": 2, "hidden": 8},
    optimizer={"name": "sgd", "lr": 0.05, "momentum": 0.9},
    augment=["flip", "crop"],
    epochs=4,
    batch_size=8,
)
RECIPES = {"momentum": SGD, "adam": SGD.changed(optimizer="adam")}
STEPS = 20
QUIET = {"progress": False, "device": "cpu"}
FULL = "No space left on device"


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """As in the processes that are killed: the number of threads may change the last bit."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def nursery():
    """Starts processes that have imported the lab already, and have no threads of torch in them."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["lab"])
    return context


@pytest.fixture(scope="module")
def whole(one_thread):
    """The runs as they are when nothing happens."""
    return {name: lab.train(recipe, **QUIET) for name, recipe in RECIPES.items()}


def same_numbers(run, other):
    histories = [
        replace(side.history, epochs=[replace(epoch, seconds=0) for epoch in side.history.epochs])
        for side in (run, other)
    ]
    return histories[0] == histories[1] and all(
        torch.equal(run.weights[name], tensor) for name, tensor in other.weights.items()
    )


def stopped_run(folder, step=5, recipe=SGD):
    """A run that was stopped after a step, with a checkpoint of it and one from before."""
    recorder = Recorder(Training(recipe, device="cpu"), folder, checkpoint_seconds=0)
    for event in recorder:
        if isinstance(event, Step) and event.step == step:
            break
    recorder.close()
    return folder


def train_and_tell(recipe, folder, wire):
    torch.set_num_threads(1)
    for event in Recorder(Training(recipe, device="cpu"), folder, checkpoint_seconds=0):
        if isinstance(event, Step):
            wire.send(event.step)


def killed_run(nursery, recipe, folder, step):
    """A run whose process got `kill -9` soon after a step."""
    ours, theirs = nursery.Pipe(duplex=False)
    process = nursery.Process(target=train_and_tell, args=(recipe, folder, theirs))
    process.start()
    theirs.close()
    while ours.recv() < step:
        pass
    process.kill()
    process.join()
    ours.close()
    return process.exitcode


@pytest.mark.parametrize("name", RECIPES)
def test_a_killed_run_resumes_to_the_same_bits(name, nursery, whole, tmp_path):
    draws = random.Random(name)
    steps = [1, STEPS - 1, *(draws.randrange(1, STEPS) for _ in range(8))]
    for attempt, step in enumerate(steps):
        folder = tmp_path / str(attempt)
        assert killed_run(nursery, RECIPES[name], folder, step) == -9
        assert lab.open_run(folder).status == "interrupted"
        run = lab.resume(folder, **QUIET)
        assert (run.status, run.problems) == ("finished", [])
        assert same_numbers(run, whole[name]), f"killed after step {step}"
        assert same_numbers(lab.open_run(folder), whole[name])


def test_a_run_that_ended_cannot_be_resumed(tmp_path):
    lab.train(SGD, folder=tmp_path / "run", **QUIET)
    with pytest.raises(RunError) as refusal:
        lab.resume(tmp_path / "run", **QUIET)
    assert str(refusal.value) == f"The run in {tmp_path / 'run'} has ended (finished); there is nothing to resume."


def test_a_folder_with_a_run_is_not_written_over(tmp_path):
    folder = stopped_run(tmp_path / "run")
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    with pytest.raises(RunError) as refusal:
        lab.train(SGD, folder=folder, **QUIET)
    said = f"{folder} holds a run already. Go on with `lab resume {folder}`, or choose another folder."
    assert str(refusal.value) == said
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


def hold(folder, wire):
    recorder = Recorder(Training(SGD, device="cpu"), folder)
    wire.send("holding")
    wire.recv()
    recorder.close()


def test_a_second_process_on_the_same_folder_is_refused(nursery, whole, tmp_path):
    folder, (ours, theirs) = tmp_path / "run", nursery.Pipe()
    process = nursery.Process(target=hold, args=(folder, theirs))
    process.start()
    assert ours.recv() == "holding"
    assert lab.open_run(folder).status == "running"
    for start in (lambda: lab.train(SGD, folder=folder, **QUIET), lambda: lab.resume(folder, **QUIET)):
        with pytest.raises(RunError) as refusal:
            start()
        said = f"Another process is writing the run in {folder}. Choose another folder, or stop it first."
        assert str(refusal.value) == said
    process.kill()
    process.join()
    assert same_numbers(lab.resume(folder, **QUIET), whole["momentum"])


@pytest.fixture
def small_disk(tmp_path):
    """A disk of one megabyte."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = shutil.which("mount")
    if not mount or subprocess.run([mount, "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("mounting a small disk is not permitted here")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def fill(disk):
    """Take all the space there is, and return the file that takes it."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (4096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                pass
    return filler


def test_a_full_disk_stops_neither_the_training_nor_the_last_checkpoint(small_disk, whole):
    recorder = Recorder(Training(SGD, device="cpu"), small_disk / "run", checkpoint_seconds=0)
    for event in recorder:
        if isinstance(event, Step) and event.step == 5:
            filler = fill(small_disk)
        if isinstance(event, Step) and event.step == 8:
            break
    recorder.close()
    assert f"{CHECKPOINT} could not be written at step 6: {FULL}." in recorder.problems
    state, problems = latest_state(small_disk / "run")
    assert (state.step, problems) == (5, [])
    filler.unlink()
    assert same_numbers(lab.resume(small_disk / "run", **QUIET), whole["momentum"])


def test_weights_that_find_no_room_leave_the_checkpoint(small_disk, whole):
    recorder = Recorder(Training(SGD, device="cpu"), small_disk / "run", checkpoint_seconds=0)
    for event in recorder:
        if isinstance(event, Step) and event.step == STEPS - 1:
            filler = fill(small_disk)
    assert recorder.finished.status == "finished"
    assert f"{WEIGHTS} could not be written at step {STEPS}: {FULL}." in recorder.problems
    assert latest_state(small_disk / "run")[0].step == STEPS - 1
    filler.unlink()
    assert same_numbers(lab.resume(small_disk / "run", **QUIET), whole["momentum"])


def resume_without_room(folder, wire):
    torch.set_num_threads(1)
    room = (folder / CHECKPOINT).stat().st_size // 2
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
    wire.send(lab.resume(folder, checkpoint_seconds=0, **QUIET))


def test_a_disk_quota_stops_neither_the_training_nor_the_last_checkpoint(nursery, whole, tmp_path):
    folder, (ours, theirs) = stopped_run(tmp_path / "run"), nursery.Pipe(duplex=False)
    process = nursery.Process(target=resume_without_room, args=(folder, theirs))
    process.start()
    run = ours.recv()
    process.join()
    assert same_numbers(run, whole["momentum"])
    assert f"{CHECKPOINT} could not be written at step 6: File too large." in run.problems
    state, problems = latest_state(folder)
    assert (state.step, problems) == (5, [])


def cut(path, size=None):
    """Damage a file as a power cut does."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2 if size is None else size])


def is_damaged(name):
    return re.compile(rf"{re.escape(name)} is damaged \(.+\) and was passed over\.")


@pytest.mark.parametrize("size", [None, 0, 8])
def test_a_checkpoint_cut_short_gives_way_to_the_one_before(size, whole, tmp_path):
    folder = stopped_run(tmp_path / "run")
    cut(folder / CHECKPOINT, size)
    run = lab.resume(folder, **QUIET)
    assert [bool(is_damaged(CHECKPOINT).fullmatch(problem)) for problem in run.problems] == [True]
    assert lab.open_run(folder).problems == run.problems
    assert same_numbers(run, whole["momentum"])


def test_without_any_readable_checkpoint_training_starts_anew_and_says_so(whole, tmp_path):
    folder = stopped_run(tmp_path / "run")
    cut(folder / CHECKPOINT)
    cut(folder / PREVIOUS)
    run = lab.resume(folder, **QUIET)
    first, second, third = run.problems
    assert is_damaged(CHECKPOINT).fullmatch(first)
    assert is_damaged(PREVIOUS).fullmatch(second)
    assert third == "No checkpoint could be read: training started anew."
    assert same_numbers(run, whole["momentum"])


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    folder = stopped_run(tmp_path / "run")
    SGD.changed(**{"model.width": 3}).save(folder / RECIPE)
    with pytest.raises(ValueError, match=r"^This checkpoint belongs to another network\."):
        lab.resume(folder, **QUIET)


class Bomb:
    """Unpickling this leaves a trace."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return Path.touch, (self.trace,)


def test_a_pickle_in_the_place_of_weights_is_not_run(tmp_path):
    folder, trace = tmp_path / "run", tmp_path / "exploded"
    lab.train(SGD, folder=folder, **QUIET)
    (folder / WEIGHTS).write_bytes(pickle.dumps(Bomb(trace)))
    run = lab.open_run(folder)
    assert run.weights is None
    assert [problem.startswith(f"Cannot read the weights in {folder / WEIGHTS}: ") for problem in run.problems] == [True]
    with pytest.raises(RunError, match=r"^This run \(finished\) has no weights\.$"):
        run.model()
    assert not trace.exists()
    pickle.loads((folder / WEIGHTS).read_bytes())
    assert trace.exists()


def test_a_pickle_in_the_place_of_a_checkpoint_is_not_run(whole, tmp_path):
    folder, trace = stopped_run(tmp_path / "run"), tmp_path / "exploded"
    (folder / CHECKPOINT).write_bytes(pickle.dumps(Bomb(trace)))
    assert same_numbers(lab.resume(folder, **QUIET), whole["momentum"])
    assert not trace.exists()
