"""The store in many hands: eight processes read while four write, and nobody sees anything broken."""

from fault_runs import QUIET, SGD, start

import lab
from lab.runs import table

WRITERS, READERS, RUNS = 4, 8, 2
STATUSES = {"running", "finished"}


def write_runs(root, number, wire):
    """Trains one run after the other, with a checkpoint after every step."""
    for index in range(RUNS):
        seeded = SGD.changed(epochs=1, seed=RUNS * number + index)
        lab.train(seeded, folder=root / f"{number}-{index}", checkpoint_seconds=0, **QUIET)
    wire.send("done")


def read_runs(root, wire):
    """Reads the table and every run in it until told to stop; then says how often, and what it saw."""
    reads, seen = len(table(root)), set()  # the first takes as long as the imports behind it
    wire.send("begins")
    while not wire.poll():
        rows = table(root)
        seen |= set(zip(rows["status"], rows["problem"], strict=True))
        for folder in rows["folder"][rows["id"].notna()]:  # the others are about to begin
            run = lab.open_run(folder)
            seen.add((run.status, " ".join(run.problems)))
        reads += len(rows) > 0
    wire.send((reads, seen))


def test_readers_see_only_whole_runs(nursery, tmp_path):
    reading = [start(nursery, read_runs, tmp_path) for _ in range(READERS)]
    for _, wire in reading:
        assert wire.recv() == "begins"
    writing = [start(nursery, write_runs, tmp_path, number) for number in range(WRITERS)]
    for _, wire in writing:
        assert wire.recv() == "done"
    for _, wire in reading:
        wire.send("stop")
    for _, wire in reading:
        reads, seen = wire.recv()
        assert reads
        assert {problem for _, problem in seen} == {""}
        assert {status for status, _ in seen} <= STATUSES
    rows = table(tmp_path)
    assert len(rows) == WRITERS * RUNS
    assert set(rows["status"]) == {"finished"}
