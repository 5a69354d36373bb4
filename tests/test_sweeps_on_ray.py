"""A sweep on a real Ray cluster of two machines, one of which is killed in the middle: nothing lost, nothing double."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from small_sweeps import FEW, sweep_of

import lab
from lab.catalogue import RecipeError
from lab.sweeps import Sweeping
from lab.sweeps.cluster import Cluster
from lab.sweeps.outcomes import OUTCOMES

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'lab[cluster]'")
Machines = pytest.importorskip("ray.cluster_utils").Cluster
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),
    pytest.mark.filterwarnings("ignore::FutureWarning:ray"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # Ray's own pipes and files
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
SPEC = {"base": {**FEW, "epochs": 40}, "grid": {"optimizer.lr": [0.1, 0.2, 0.3]}, "seeds": 2}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    os.environ["RAY_agent_register_timeout_ms"] = (  # noqa: SIM112  # as Ray spells it
        "120000"  # on a busy machine its agent takes longer than 15 s to import
    )
    machines = Machines(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    machines.add_node(num_cpus=1)
    machines.wait_for_nodes()
    yield machines
    ray.shutdown()
    machines.shutdown()


def test_a_machine_killed_in_mid_sweep_loses_nothing_and_doubles_nothing(cluster: Any, tmp_path: Path) -> None:
    sweeping = Sweeping(sweep_of(SPEC), tmp_path / "sweep", plain=True, device="cpu", retries=5)
    second, told = next(node for node in cluster.list_all_nodes() if node is not cluster.head_node), []
    for _, outcome in sweeping.over(Cluster(cluster.address)):
        told.append(outcome)
        if len(told) == 2:
            cluster.remove_node(second, allow_graceful=False)
    lines = [json.loads(line) for line in (tmp_path / "sweep" / OUTCOMES).read_text().splitlines()]
    counts = Counter(line["id"] for line in lines if line["status"] == "finished")
    assert counts == {point.id: 1 for point in sweeping.sweep.points}
    assert all(line["detail"] for line in lines if line["status"] == "lost")
    assert {path.name for path in (tmp_path / "sweep" / "runs").iterdir()} == set(counts)
    point = sweeping.sweep.points[-1]
    alone = lab.train(point.recipe, progress=False, device="cpu")
    assert lab.open_run(sweeping.folder.run(point.id)).history.loss == alone.history.loss


def test_gpus_that_a_cluster_lacks_are_said_at_once(cluster: Any, tmp_path: Path) -> None:
    sweeping = Sweeping(sweep_of({"base": FEW}), tmp_path / "sweep", plain=True)
    with pytest.raises(RecipeError, match="this cluster has none"):
        list(sweeping.over(Cluster(cluster.address, gpus_per_run=0.5)))
