"""A sweep on a real Ray cluster of two machines, one of which is killed in the middle: nothing lost, nothing double."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from small_sweeps import FEW, sweep_of, written

import lab
from lab.catalogue import RecipeError
from lab.own_options import add_options
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
SPEC = {"base": {**FEW, "epochs": 1000, "activation": "marked"}, "grid": {"optimizer.lr": [0.1, 0.2]}, "seeds": 2}
MARKED = '''
from pathlib import Path
import lab, torch

@lab.activations.add
def marked():
    """The positive part, telling where it trains. f(x) = max(0, x). Source: this test."""
    class Marked(torch.nn.ReLU):
        def forward(self, x):
            if self.training:
                import ray
                if ray.is_initialized():
                    Path({place!r}, ray.get_runtime_context().get_node_id()).touch()
            return super().forward(x)
    return Marked()
'''


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    # On a busy machine its agent takes longer than the usual 15 s to import.
    os.environ["RAY_agent_register_timeout_ms"] = "120000"  # noqa: SIM112  # Ray's own spelling
    machines = Machines(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    machines.add_node(num_cpus=1)
    machines.wait_for_nodes()
    yield machines
    ray.shutdown()
    machines.shutdown()


def kill_when_marked(cluster: Any, machine: Any, mark: Path) -> None:
    while not mark.exists():
        time.sleep(0.01)
    cluster.remove_node(machine, allow_graceful=False)


def test_a_machine_killed_while_it_trains_loses_nothing_and_doubles_nothing(
    cluster: Any, tmp_path: Path, own_options: None
) -> None:
    file = written(tmp_path, "marked.py", MARKED.format(place=str(tmp_path)))
    add_options([file])
    second = next(machine for machine in cluster.list_all_nodes() if machine is not cluster.head_node)
    killer = threading.Thread(target=kill_when_marked, args=(cluster, second, tmp_path / second.node_id), daemon=True)
    killer.start()
    sweeping = Sweeping(sweep_of(SPEC), tmp_path / "sweep", plain=True, device="cpu", retries=5, options=[file])
    for _ in sweeping.over(Cluster(cluster.address)):
        pass
    killer.join()
    lines = [json.loads(line) for line in (tmp_path / "sweep" / OUTCOMES).read_text().splitlines()]
    counts = Counter(line["id"] for line in lines if line["status"] == "finished")
    assert counts == {point.id: 1 for point in sweeping.sweep.points}
    lost = [line["detail"] for line in lines if line["status"] != "finished"]
    assert lost
    assert all(detail.split(":")[0].endswith("Error") for detail in lost)
    assert {path.name for path in (tmp_path / "sweep" / "runs").iterdir()} == set(counts)
    point = sweeping.sweep.points[-1]
    alone = lab.train(point.recipe, progress=False, device="cpu")
    assert lab.open_run(sweeping.folder.run(point.id)).history.loss == alone.history.loss


def test_gpus_that_a_cluster_lacks_are_said_at_once(cluster: Any, tmp_path: Path) -> None:
    sweeping = Sweeping(sweep_of({"base": FEW}), tmp_path / "sweep", plain=True)
    with pytest.raises(RecipeError, match="this cluster has none"):
        list(sweeping.over(Cluster(cluster.address, gpus_per_run=0.5)))


def test_where_no_cluster_listens_that_is_said_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", lambda **_: pytest.fail("Ray would wait for a minute"))
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{nobody.getsockname()[1]}"
        sweeping = Sweeping(sweep_of({"base": FEW}), tmp_path / "sweep", plain=True)
        with pytest.raises(RecipeError, match=f"There is no Ray cluster at {address} .*ray start --head"):
            list(sweeping.over(Cluster(address)))
