"""Kills, full disks and a second writer: a run survives them, to the same bits."""

import contextlib
import random
import resource
import shutil
import subprocess

import pytest
import torch
from fault_runs import QUIET, RECIPES, SGD, STEPS, numbers, start, stopped_run

import lab
from lab.events import Step
from lab.store import CHECKPOINT, WEIGHTS, Recorder, RunError, latest_state
from lab.training import Training

FULL = "No space left on device"


def train_and_tell(name, folder, wire):
    torch.set_num_threads(1)
    for event in Recorder(Training(RECIPES[name], device="cpu"), folder, checkpoint_seconds=0):
        if isinstance(event, Step):
            wire.send(event.step)


def killed_run(nursery, name, folder, step):
    """A run whose process got `kill -9` soon after a step."""
    process, wire = start(nursery, train_and_tell, name, folder)
    while wire.recv() < step:
        pass
    process.kill()
    process.join()
    return process.exitcode


@pytest.mark.parametrize("name", RECIPES)
def test_a_killed_run_resumes_to_the_same_bits(name, nursery, whole, tmp_path):
    draws = random.Random(name)
    steps = [1, STEPS - 1, *(draws.randrange(1, STEPS) for _ in range(8))]  # twenty in all
    for attempt, step in enumerate(steps):
        folder = tmp_path / str(attempt)
        assert killed_run(nursery, name, folder, step) == -9
        assert lab.open_run(folder).status == "interrupted"
        run = lab.resume(folder, **QUIET)
        assert run.problems == []
        assert numbers(run) == whole[name], f"killed after step {step}"
        assert numbers(lab.open_run(folder)) == whole[name]


def test_a_run_that_ended_cannot_be_resumed(tmp_path):
    folder = tmp_path / "run"
    run = lab.train(SGD, folder=folder, **QUIET)
    with pytest.raises(RunError) as refusal:
        lab.resume(folder, **QUIET)
    assert str(refusal.value) == f"The run in {folder} has ended ({run.status}); there is nothing to resume."


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
    folder = tmp_path / "run"
    process, wire = start(nursery, hold, folder)
    assert wire.recv() == "holding"
    assert lab.open_run(folder).status == "running"
    for second in (lambda: lab.train(SGD, folder=folder, **QUIET), lambda: lab.resume(folder, **QUIET)):
        with pytest.raises(RunError) as refusal:
            second()
        said = f"Another process is writing the run in {folder}. Choose another folder, or stop it first."
        assert str(refusal.value) == said
    process.kill()
    process.join()
    assert numbers(lab.resume(folder, **QUIET)) == whole["momentum"]


@pytest.fixture
def small_disk(tmp_path):
    """A disk of one megabyte."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], check=False, capture_output=True
    )
    if not mounted or mounted.returncode:
        pytest.skip("mounting a small disk is not permitted here")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def fill(disk):
    """Take all the space there is, and return the file that takes it."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 512)
    return filler


def run_into_full_disk(disk, full_at, stop_at=STEPS):
    """Training that makes its only checkpoint just before the disk is full, and tries at every step from then on."""
    recorder = Recorder(Training(SGD, device="cpu"), disk / "run", checkpoint_seconds=1e9)
    for event in recorder:
        if isinstance(event, Step) and event.step == full_at:
            recorder.checkpoint()
            recorder.checkpoint_seconds, filler = 0, fill(disk)
        if isinstance(event, Step) and event.step == stop_at < STEPS:
            break
    recorder.close()
    return recorder, filler


def test_a_full_disk_stops_neither_the_training_nor_the_last_checkpoint(small_disk, whole):
    recorder, filler = run_into_full_disk(small_disk, full_at=6, stop_at=8)
    assert f"{CHECKPOINT} could not be written at step 7: {FULL}." in recorder.problems
    state, problems = latest_state(small_disk / "run")
    assert (state.step, problems) == (6, [])
    filler.unlink()
    assert numbers(lab.resume(small_disk / "run", **QUIET)) == whole["momentum"]


def test_weights_that_find_no_room_leave_the_checkpoint(small_disk, whole):
    recorder, filler = run_into_full_disk(small_disk, full_at=STEPS - 1)
    assert recorder.finished.status == whole["momentum"][0]
    assert f"{WEIGHTS} could not be written at step {STEPS}: {FULL}." in recorder.problems
    assert latest_state(small_disk / "run")[0].step == STEPS - 1
    filler.unlink()
    assert numbers(lab.resume(small_disk / "run", **QUIET)) == whole["momentum"]


def resume_without_room(folder, wire):
    torch.set_num_threads(1)
    room = 3_000  # bytes a file: enough for what is said about the run, too little for its weights
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
    run = lab.resume(folder, checkpoint_seconds=0, **QUIET)
    wire.send((numbers(run), run.problems))


def test_a_disk_quota_stops_neither_the_training_nor_the_last_checkpoint(nursery, whole, tmp_path):
    folder = stopped_run(tmp_path / "run")
    process, wire = start(nursery, resume_without_room, folder)
    results, said = wire.recv()
    process.join()
    assert results == whole["momentum"]
    assert f"{CHECKPOINT} could not be written at step 6: File too large." in said
    state, problems = latest_state(folder)
    assert (state.step, problems) == (5, [])
    assert numbers(lab.resume(folder, **QUIET)) == whole["momentum"]


def test_looks_at_the_test_split_are_still_counted_after_a_resume(tmp_path):
    folder = stopped_run(tmp_path / "run")
    lab.open_run(folder).test(device="cpu")
    assert lab.resume(folder, **QUIET).test_looks == 1
    assert lab.open_run(folder).test_looks == 1
