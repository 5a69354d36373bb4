"""Sweeps whose processes are killed, and one that gets Ctrl-C: nothing is lost, and nothing is there twice."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import pytest
from fault_runs import start

import lab
from lab.own_options import add_options
from lab.sweeps import Sweeping, cluster, points, processes
from lab.sweeps.outcomes import OUTCOMES
from lab.sweeps.points import Order, done
from lab.sweeps.processes import Processes, places_for

sys.path.insert(0, str(Path(__file__).parents[1]))
from small_sweeps import DEADLY, FEW, SLOW, WORKER_KILLED, Here, sweep_of, swept, written
from strategies import stressed

STRESSED = stressed()
POINTS = {
    "base": {**FEW, "epochs": 5, "activation": "deadly"},
    "grid": {"optimizer.lr": [0.1, 0.2, 0.3, 0.4, 0.5]},
    "seeds": 40 if STRESSED else 4,
}
PROCESSES = 4 if STRESSED else 2
DEATHS_PER_STEP = 0.02  # of five steps a run: one run in ten


@pytest.fixture(autouse=True)
def options(tmp_path, monkeypatch):
    """Options of this test, gone after it."""
    for catalogue in lab.recipe.CATALOGUES.values():
        monkeypatch.setattr(catalogue, "functions", dict(catalogue.functions))
        monkeypatch.setattr(catalogue, "_choices", dict(catalogue._choices))
    file = written(tmp_path, "deadly.py", DEADLY)
    add_options([file])
    return file


def ended(folder):
    """How often each point ended with a result."""
    lines = [json.loads(line) for line in (folder / OUTCOMES).read_text().splitlines()]
    return Counter(line["id"] for line in lines if line["status"] == "finished"), lines


class Forked:
    """A process of the nursery that executes some code, with what `Processes` asks of one."""

    def __init__(self, process):
        self.process, self.terminate, self.kill = process, process.terminate, process.kill

    def poll(self):
        return self.process.exitcode

    def wait(self, seconds=None):
        self.process.join(seconds)
        return self.process.exitcode


def execute(code, environment, wire):
    os.environ.update(environment)
    sys.argv = ["-c", str(os.dup(wire.fileno()))]
    exec(code, {})


@pytest.fixture
def at_once(request, monkeypatch):
    """Processes that have imported everything before they are asked for; under stress they are those of any sweep."""

    def launch(code, environment):
        process, wire = start(request.getfixturevalue("nursery"), execute, code, {**os.environ, **environment})
        return Forked(process), wire

    if not STRESSED:
        monkeypatch.setattr(processes, "launch", launch)


@pytest.mark.stress
def test_one_process_in_ten_killed_at_random_loses_nothing_and_doubles_nothing(at_once, options, tmp_path, monkeypatch):
    monkeypatch.setenv("DEADLY", str(DEATHS_PER_STEP))
    sweeping = swept(tmp_path / "sweep", POINTS, Processes(places_for(PROCESSES, [], 0)), retries=50, options=[options])
    monkeypatch.delenv("DEADLY")
    counts, lines = ended(tmp_path / "sweep")
    assert counts == {point.id: 1 for point in sweeping.sweep.points}
    assert len(counts) == 5 * POINTS["seeds"]
    lost = [line for line in lines if line["status"] == "lost"]
    assert all(line["detail"] == "Its process ended before the run did (killed by signal 9)." for line in lost)
    assert sum(line["attempts"] - 1 for line in lines if line["status"] == "finished") == len(lost)
    for point in sweeping.sweep.points[::7][:6]:
        alone = lab.train(point.recipe, progress=False, device="cpu")
        assert lab.open_run(sweeping.folder.run(point.id)).history.loss == alone.history.loss
    names = {path.name for path in (tmp_path / "sweep" / "runs").iterdir()}
    assert names == set(counts)


def test_a_point_that_always_kills_is_a_row_and_the_others_are_trained(at_once, options, tmp_path, monkeypatch):
    monkeypatch.setenv("DEADLY", "1")
    spec = {"base": FEW, "list": [{"activation": "deadly"}, {"activation": "relu"}]}
    sweeping = swept(tmp_path / "sweep", spec, Processes(places_for(1, [], 0)), retries=0, options=[options])
    outcomes = [sweeping.outcomes[point.id] for point in sweeping.sweep.points]
    assert [(outcome.status, outcome.attempts) for outcome in outcomes] == [("lost", 1), ("finished", 1)]


@pytest.mark.skipif(sys.platform != "linux", reason="kernels are forked on Linux only")
def test_a_notebook_whose_worker_is_killed_is_tried_again_to_its_end(tmp_path, monkeypatch):
    own = written(tmp_path, "worker_killed.py", WORKER_KILLED)
    add_options([own])
    monkeypatch.setenv("WORKER_KILLED", str(tmp_path / "killed"))
    spec = {"base": {**FEW, "activation": "worker_killed"}, "grid": {"optimizer.lr": [0.1]}}
    engine = Processes(places_for(1, [], 0))
    sweeping = Sweeping(sweep_of(spec), tmp_path / "sweep", device="cpu", options=[own])
    assert [outcome.status for _, outcome in sweeping.over(engine)] == ["lost", "finished"]
    assert (tmp_path / "killed").exists()


def killed_at_the_end(order, temporary, wire):
    """In a process: a point of a cluster whose worker is killed when its run has ended."""

    def ended(order):
        done(order)
        os.kill(os.getpid(), signal.SIGKILL)

    tempfile.tempdir, cluster.done = temporary, ended
    cluster.parcelled(order, (), "/", "sweep", {})


def test_a_run_that_ended_on_a_cluster_before_its_worker_was_killed_is_found_by_the_next(
    nursery, tmp_path, monkeypatch
):
    recipe = lab.Recipe(**FEW)
    order = Order(recipe.id, recipe.to_yaml(), Path("run"), device="cpu")
    worker, _ = start(nursery, killed_at_the_end, order, str(tmp_path))
    worker.join()
    assert worker.exitcode == -signal.SIGKILL
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(points, "train", lambda *_, **__: pytest.fail("It is trained again."))
    monkeypatch.setattr(points, "resume", lambda *_, **__: pytest.fail("It is trained again."))
    monkeypatch.chdir(tmp_path)
    parcel = cluster.parcelled(order, (), str(tmp_path), "sweep", {})
    assert parcel.outcome.status == "finished"
    assert "weights.safetensors" in parcel.files


def test_ctrl_c_stops_a_command_and_the_next_call_goes_on(tmp_path, monkeypatch):
    file, folder, own = tmp_path / "sweep.yaml", tmp_path / "out", written(tmp_path, "slow.py", SLOW)
    add_options([own])
    slow = {"base": {**FEW, "activation": "slow"}, "grid": {"optimizer.lr": [0.01, 0.02, 0.03]}}
    file.write_text(json.dumps(slow))
    words = ["sweep", str(file), "--plain", "--folder", str(folder), "--device", "cpu", "--processes", "2"]
    command = [sys.executable, "-m", "lab_command", *words, "--options", str(own)]
    environment = {**os.environ, "SLOW": "60"}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True, env=environment)
    while process.poll() is None and not any(folder.glob("runs/*/run.json")):
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of its processes
    said = process.communicate()[1].decode()
    assert process.returncode == 130, said
    assert "Go on with the same command" in said
    begun = [path for path in (folder / "runs").iterdir() if (path / "recipe.yaml").exists()]
    assert begun
    assert all(lab.open_run(path).status in ("stopped", "interrupted") for path in begun)
    sweeping = swept(folder, slow, Here())
    counts, _ = ended(folder)
    assert counts == {point.id: 1 for point in sweeping.sweep.points}
    assert {path.name for path in (folder / "runs").iterdir()} == set(counts)
