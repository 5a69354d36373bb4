"""How fast the lab trains, next to a bare loop, torchvision, Lightning and fastai.

Two tasks, both with SGD and momentum in batches of 128:

  cnn   Fashion-MNIST, random flip and crop, a small convolutional network: is the data path fast, is the loop?
  mlp   digits, a network so small (64-64-32-10) that what is left is the overhead of a step

Every variant trains the same network from the same weights, on the same images, in blocks of equal size, each in
a process of its own; rounds run A B C ... and then C B A. A ratio is speed over the yardstick's in the same round.

The yardstick is the best loop we can write by hand: all images in memory, whole batches augmented
at once, channels_last, fused SGD, no loss read before the end; for the mlp, with one OpenMP thread, as the lab does
by itself: as fast when the machine is quiet, and faster when it is not. "Torch's defaults" are NCHW and plain SGD.
"in memory" gives a framework that loop's data path, network and optimizer; the other rows are written as the
library's own tutorials do it. No framework keeps logs, bars or checkpoints here.
Validation is left out; the lab looks at one image each block. The lab's rows with a store keep a run's folder, with
a checkpoint about every block (ten seconds pass between two): more often than in a run that has the machine alone.
The rows in a thread are the panel's arrangement: the main thread steps back to one OpenMP thread. What the lab adds to
the environment when it is imported before torch (how long OpenMP's threads spin) holds for its own rows alone.

    pip install -e '.[bench]'
    python bench/training.py
    python bench/training.py --only lab,bare --task mlp --rounds 3

The whole measurement is kept in bench/results/training-<device>.json; a part of it is only printed.
"""

from __future__ import annotations

import argparse
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any

import numpy as np
import torch
from measure import UNTOUCHED, Clock, Entry, Row, compared, interleaved, machine, note, save, table
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from torchvision.transforms import v2

import lab
from lab.data import Dataset
from lab.events import Event
from lab.steps import build_model
from lab.store import Recorder

BATCH, LR, MOMENTUM = 128, 0.01, 0.9
YARDSTICKS = {"cnn": "bare", "mlp": "bare_thread"}
RESULTS = Path(__file__).parent / "results"
PUMP_SECONDS = 0.1


@lab.modifiers.add
def first_images(dataset: Dataset, *, count: int = 5120) -> Dataset:
    """Train on the first `count` images, over and over if there are fewer; validate on one."""
    index = torch.arange(count) % len(dataset.train)
    return replace(dataset, train=dataset.train.take(index), validation=dataset.validation.take(torch.arange(1)))


@lab.models.add
def tiny(shape: tuple[int, int, int], classes: int, activation: Callable[[], nn.Module]) -> nn.Module:
    """Two hidden layers of 64 and 32 units."""
    layers = [nn.Linear(shape[0] * shape[1] * shape[2], 64), activation(), nn.Linear(64, 32), activation()]
    return nn.Sequential(nn.Flatten(), *layers, nn.Linear(32, classes))


@dataclass(frozen=True)
class Job:
    """What to train, on how many images, and where; plain values, so that it can be sent to a process."""

    task: str
    data: str
    model: dict[str, Any]
    augment: list[str]
    images: int
    device: str

    @property
    def steps(self) -> int:
        return self.images // BATCH

    @property
    def recipe(self) -> lab.Recipe:
        return lab.Recipe(
            data=self.data,
            modify={"name": "first_images", "count": self.images},
            model=self.model,
            optimizer={"name": "sgd", "lr": LR, "momentum": MOMENTUM},
            augment=self.augment,
            batch_size=BATCH,
            epochs=1_000_000,  # one is a block; the clock ends the run
        )

    @property
    def dataset(self) -> Dataset:
        return lab.load(self.recipe.data, self.recipe.modify)

    def network(self, memory_format: torch.memory_format = torch.contiguous_format) -> nn.Module:
        return build_model(self.recipe, self.dataset).to(self.device, memory_format=memory_format)


class Batches:
    """The data path of a good hand-written loop: whole batches of a tensor in memory."""

    def __init__(self, job: Job, memory_format: torch.memory_format = torch.channels_last) -> None:
        self.job, self.memory_format = job, memory_format
        train, statistics = job.dataset.train, torch.tensor(job.dataset.statistics, device=job.device)
        self.images, self.labels = train.images.to(job.device), train.labels.to(job.device)
        self.mean, self.std = statistics.view(2, 1, -1, 1, 1)
        self.generator = torch.Generator(job.device)

    def __len__(self) -> int:
        return self.job.steps

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for index in torch.randperm(len(self.labels)).to(self.job.device).split(BATCH):
            yield self.prepared(self.images.index_select(0, index)), self.labels.index_select(0, index)

    def prepared(self, pixels: Tensor) -> Tensor:
        images = pixels.float().div_(255)
        if self.job.augment:
            images = shifted(mirrored(images, self.generator), self.generator)
        return ((images - self.mean) / self.std).contiguous(memory_format=self.memory_format)


def mirrored(images: Tensor, generator: torch.Generator) -> Tensor:
    coin = torch.rand(len(images), 1, 1, 1, generator=generator, device=images.device) < 0.5
    return torch.where(coin, images.flip(-1), images)


def shifted(images: Tensor, generator: torch.Generator, padding: int = 4) -> Tensor:
    """By up to `padding` pixels each way: a window of the padded images at a random place."""
    count, _, height, width = images.shape
    windows = functional.pad(images, [padding] * 4).unfold(2, height, 1).unfold(3, width, 1)
    top, left = torch.randint(2 * padding + 1, (2, count), generator=generator, device=images.device)
    return windows[torch.arange(count, device=images.device), :, top, left]


class Pictures(torch.utils.data.Dataset):
    """A torchvision data set: a PIL image and its label at a time, through transforms."""

    def __init__(self, job: Job) -> None:
        self.pixels, self.labels = job.dataset.train.images.squeeze(1).numpy(), job.dataset.train.labels.tolist()
        random_changes = [v2.RandomCrop(job.dataset.shape[1:], padding=4), v2.RandomHorizontalFlip()]
        to_float = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(*job.dataset.statistics)]
        self.transform = v2.Compose([*random_changes, *to_float])

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.pixels[index])), self.labels[index]


def picture_loader(job: Job, workers: int = 0) -> torch.utils.data.DataLoader:
    return torch.utils.data.DataLoader(
        Pictures(job),
        batch_size=BATCH,
        shuffle=True,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=job.device == "cuda",
    )


def plain_sgd(network: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(network.parameters(), lr=LR, momentum=MOMENTUM)


def fused_sgd(network: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(network.parameters(), lr=LR, momentum=MOMENTUM, fused=True)


def bare(job: Job, clock: Clock) -> None:
    network = job.network(torch.channels_last)
    loop(network, fused_sgd(network), Batches(job), clock)


def bare_thread(job: Job, clock: Clock) -> None:
    torch.set_num_threads(1)
    bare(job, clock)


def bare_defaults(job: Job, clock: Clock) -> None:
    network = job.network()
    loop(network, plain_sgd(network), Batches(job, torch.contiguous_format), clock)


def torchvision(job: Job, clock: Clock, workers: int = 0) -> None:
    network = job.network()
    loop(network, plain_sgd(network), picture_loader(job, workers), clock)


def loop(network: nn.Module, optimizer: torch.optim.Optimizer, batches: Any, clock: Clock) -> None:
    device = next(network.parameters()).device
    while True:
        clock()
        losses = []
        for images, labels in batches:
            logits = network(images.to(device, non_blocking=True))
            loss = functional.cross_entropy(logits, labels.to(device, non_blocking=True))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
        torch.stack(losses).mean().item()


def lightning(job: Job, clock: Clock) -> None:
    network = job.network()
    lightning_fit(network, plain_sgd(network), picture_loader(job), job.device, clock, log=True)


def lightning_memory(job: Job, clock: Clock) -> None:
    network = job.network(torch.channels_last)
    lightning_fit(network, fused_sgd(network), Batches(job), job.device, clock, log=False)


def lightning_fit(
    network: nn.Module, optimizer: torch.optim.Optimizer, batches: Any, device: str, clock: Clock, *, log: bool
) -> None:
    from lightning import Callback, LightningModule, Trainer

    class Classifier(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
            images, labels = batch
            loss = functional.cross_entropy(self.network(images), labels)
            if log:
                self.log("loss", loss)
            return loss

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return optimizer

    class Blocks(Callback):
        def on_train_epoch_start(self, *_: object) -> None:
            clock()

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    trainer = Trainer(max_epochs=-1, accelerator=device, devices=1, callbacks=[Blocks()], **quiet)
    trainer.fit(Classifier(), batches)


def fastai(job: Job, clock: Clock) -> None:
    from fastai.optimizer import SGD
    from fastai.vision.augment import CropPad, Flip, RandomCrop
    from fastai.vision.core import PILImageBW
    from fastai.vision.data import ImageDataLoaders, Normalize

    size = job.dataset.shape[-1]
    with TemporaryDirectory() as folder:
        write_pictures(job.dataset, Path(folder))
        loaders = ImageDataLoaders.from_folder(
            folder,
            img_cls=PILImageBW,
            item_tfms=[CropPad(size + 8), RandomCrop(size)],
            batch_tfms=[Flip(), Normalize.from_stats(*job.dataset.statistics)],
            bs=BATCH,
            num_workers=0,
            device=torch.device(job.device),
        )
        fastai_fit(job.network(), partial(SGD, mom=MOMENTUM), loaders, clock)


def write_pictures(dataset: Dataset, folder: Path) -> None:
    """train/<class>/<number>.png and valid/<class>/<number>.png, as fastai's tutorials have them."""
    for part, split in (("train", dataset.train), ("valid", dataset.validation)):
        for number, (pixels, label) in enumerate(zip(split.images, split.labels, strict=True)):
            place = folder / part / str(int(label))
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels[0].numpy()).save(place / f"{number}.png")


def fastai_memory(job: Job, clock: Clock) -> None:
    from fastai.data.core import DataLoaders
    from fastai.optimizer import OptimWrapper

    batches, fused = Batches(job), partial(torch.optim.SGD, momentum=MOMENTUM, fused=True)
    fastai_fit(job.network(torch.channels_last), partial(OptimWrapper, opt=fused), DataLoaders(batches, batches), clock)


def fastai_fit(network: nn.Module, optimizer: Callable[..., Any], loaders: Any, clock: Clock) -> None:
    from fastai.callback.core import Callback, CancelValidException
    from fastai.learner import Learner

    class Blocks(Callback):
        def before_train(self) -> None:
            clock()

        def before_validate(self) -> None:
            raise CancelValidException

    learner = Learner(loaders, network, loss_func=functional.cross_entropy, opt_func=optimizer, cbs=[Blocks()])
    with learner.no_logging():
        learner.fit(1_000_000, lr=LR)


Watcher = Callable[[Event], object]


def in_arrays(event: Event) -> list[np.ndarray]:
    """What a live figure is given."""
    series = [event.loss, event.accuracy, event.lr] if isinstance(event, lab.Metrics) else []
    return [np.array(values, np.float32) for values in series]


def lab_alone(job: Job, clock: Clock) -> None:
    lab_training(job, clock)


def lab_store(job: Job, clock: Clock) -> None:
    lab_training(job, clock, watch=in_arrays, keep=True)


def lab_thread(job: Job, clock: Clock) -> None:
    in_a_thread(partial(lab_training, job, clock))


def lab_thread_store(job: Job, clock: Clock) -> None:
    """The training thread posts its events; the main thread's pump turns them into arrays ten times a second."""
    posted: SimpleQueue[Event] = SimpleQueue()
    worker = in_a_thread(partial(lab_training, job, clock, watch=posted.put, keep=True))
    while worker.is_alive():
        time.sleep(PUMP_SECONDS)
        while not posted.empty():
            in_arrays(posted.get())


def lab_training(job: Job, clock: Clock, *, watch: Watcher | None = None, keep: bool = False) -> None:
    session = lab.training(job.recipe, device=job.device)
    with kept(session) if keep else nullcontext(session) as events:
        for event in events:
            if isinstance(event, lab.Started | lab.Epoch):
                clock()
            elif watch and isinstance(event, lab.Metrics):
                watch(event)


@contextmanager
def kept(session: lab.Training) -> Iterator[Iterator[Event]]:
    """The events, while a run's folder is kept."""
    with TemporaryDirectory() as folder, closing(iter(Recorder(session, folder))) as events:
        yield events


def in_a_thread(train: Callable[[], None]) -> Thread:
    """All tensor work in one thread with all cores; the main thread steps back to one before it makes a tensor."""
    cores = torch.get_num_threads()
    torch.set_num_threads(1)

    def work() -> None:
        torch.set_num_threads(cores)
        train()

    worker = Thread(target=work)
    worker.start()
    return worker


@dataclass(frozen=True)
class Variant:
    """One row of a table: what it runs, for which tasks, the package it needs, and whether the lab sets the scene.

    lab_first: its process starts with what the lab, imported before torch, adds to the environment.
    """

    label: str
    train: Callable[[Job, Clock], None]
    tasks: tuple[str, ...] = ("cnn", "mlp")
    needs: str = ""
    lab_first: bool = False

    @property
    def environment(self) -> Mapping[str, str]:
        return os.environ if self.lab_first else UNTOUCHED


VARIANTS = {
    "bare": Variant("bare loop", bare),
    "bare_defaults": Variant("bare loop, torch's defaults", bare_defaults),
    "bare_thread": Variant("bare loop, one OpenMP thread", bare_thread, ("mlp",)),
    "torchvision": Variant("torchvision per image, DataLoader", torchvision, ("cnn",)),
    "torchvision_workers": Variant("torchvision per image, 2 workers", partial(torchvision, workers=2), ("cnn",)),
    "lightning": Variant("Lightning, torchvision per image", lightning, ("cnn",), needs="lightning"),
    "lightning_memory": Variant("Lightning, in memory", lightning_memory, needs="lightning"),
    "fastai": Variant("fastai, PNG files", fastai, ("cnn",), needs="fastai"),
    "fastai_memory": Variant("fastai, in memory", fastai_memory, needs="fastai"),
    "lab": Variant("lab", lab_alone, lab_first=True),
    "lab_store": Variant("lab, store and live arrays", lab_store, lab_first=True),
    "lab_thread": Variant("lab in a thread", lab_thread, lab_first=True),
    "lab_thread_store": Variant("lab in a thread, store and live arrays", lab_thread_store, lab_first=True),
}
PEERS = ("lightning", "fastai")


def jobs(device: str, images: int, steps: int) -> dict[str, Job]:
    cnn, mlp = {"name": "cnn", "depth": 2, "width": 16, "hidden": 128}, {"name": "tiny"}
    return {
        "cnn": Job("cnn", "fashion_mnist", cnn, ["flip", "crop"], images, device),
        "mlp": Job("mlp", "digits", mlp, [], steps * BATCH, device),
    }


def chosen(job: Job, only: list[str]) -> dict[str, Variant]:
    """The task's variants that were asked for, by name or by family; the yardstick always, missing peers never."""
    return {
        name: variant
        for name, variant in VARIANTS.items()
        if job.task in variant.tasks
        and (not only or name == YARDSTICKS[job.task] or {name, name.split("_")[0]} & set(only))
        and (not variant.needs or find_spec(variant.needs))
    }


def measured(job: Job, variants: dict[str, Variant], rounds: int) -> dict[str, Row]:
    entries = {name: Entry(partial(variant.train, job), variant.environment) for name, variant in variants.items()}
    seconds = interleaved(entries, rounds, job.device)
    return {
        name: compared(variant.label, seconds[name], seconds[YARDSTICKS[job.task]], job.images, job.steps)
        for name, variant in variants.items()
    }


def title(job: Job, rounds: int) -> str:
    block = f"{job.images:,} images in {job.steps} steps"
    return f"\n{job.task} on {job.data}, {job.device}: {rounds} rounds of {block}"


def whole_batches(text: str) -> int:
    count = int(text)
    if count < BATCH or count % BATCH:
        raise argparse.ArgumentTypeError(f"{count} is not a multiple of {BATCH}, the batch size")
    return count


def names(text: str) -> list[str]:
    families = {name.split("_")[0] for name in VARIANTS}
    if strange := set(text.split(",")) - set(VARIANTS) - families:
        raise argparse.ArgumentTypeError(f"unknown {', '.join(sorted(strange))}; expected {', '.join(VARIANTS)}")
    return text.split(",")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", choices=("cnn", "mlp"), help="measure only one of the two tasks")
    parser.add_argument(
        "--only", type=names, default=[], help=f"comma-separated, a name or a family: {', '.join(VARIANTS)}"
    )
    parser.add_argument(
        "--images", type=whole_batches, default=5120, help="images in a block of the cnn (default 5120)"
    )
    parser.add_argument("--steps", type=int, default=400, help="steps in a block of the mlp (default 400)")
    parser.add_argument("--rounds", type=int, default=5, help="blocks of each variant (default 5)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where to train (default cpu)")
    parser.add_argument("--output", type=Path, help="where to keep the numbers, also of a partial measurement")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    facts = circumstances(options)
    tasks: dict[str, dict[str, Row]] = {}
    for task, job in jobs(options.device, options.images, options.steps).items():
        if options.task in (None, task):
            tasks[task] = measured(job, chosen(job, options.only), options.rounds)
            print(table(title(job, options.rounds), list(tasks[task].values())))
    if path := options.output or place_of_a_whole(options):
        save(path, facts, tasks)


def circumstances(options: argparse.Namespace) -> dict[str, Any]:
    """Machine and settings, noted before the first block; what will be missing or unsure is said."""
    facts = {
        "machine": machine(options.device, ("lab", "torch", "torchvision", *PEERS)),
        "settings": {name: getattr(options, name) for name in ("images", "steps", "rounds")} | {"batch_size": BATCH},
    }
    for peer in PEERS:
        if not find_spec(peer):
            note(f"{peer} is not installed and is left out: pip install -e '.[bench]'")
    if facts["machine"]["load"] > 0.5:
        note(f"The machine is busy (load {facts['machine']['load']}): trust no ratio before it is quiet.")
    return facts


def place_of_a_whole(options: argparse.Namespace) -> Path | None:
    part = options.only or options.task
    return None if part else RESULTS / f"training-{options.device}.json"


if __name__ == "__main__":
    main()
