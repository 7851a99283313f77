"""Three small real tasks on data that come with scikit-learn: what a search of smaller models is tried on.

==========  ====================================================  ==============================================
cnn         the 1,797 digits, 8 x 8, in ten classes               residual blocks with batch norm; accuracy
vit         the same digits as 16 patches of 2 x 2                a vision transformer; accuracy
mlp         the colours of a photograph at 16,960 places          a residual MLP with batch norm; R squared
==========  ====================================================  ==============================================

The regression is that of an implicit picture: the photograph ``china.jpg``, averaged over 12 x 12 pixels around each
fourth one, from the coordinates of a pixel and their sines and cosines to its three colours. The other tables that are
shipped do not do: diabetes has 442 rows and no model explains much more than half of its variance, linnerud has 20, and
on the features of the breast cancer table a network of 90 parameters is nearly as good as one of 70,000. Here the dense
network explains 0.987 of the variance of unseen pixels, one of an eighth of its width 0.957.

The floor of the box is one for all: right half of the time, half of the variance explained.

Each set is split once, in the same random order, into training, validation and test. Nothing but the last line of a
benchmark may look at the test split. A dense model is trained for some seconds and kept in ``build/`` by seed and by
the text of this file.

    python -m benchmarks._tasks [seeds]     train the dense models and print what they reach
"""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from effwidgets.search.tuning.distill import Distill, distill
from effwidgets.search.tuning.options import DistillOptions

__all__ = ["TASKS", "Marks", "Split", "Splits", "Task"]

Split: TypeAlias = Literal["train", "validation", "test"]
Pair: TypeAlias = tuple[Tensor, Tensor]

BUILD: Final = Path(__file__).resolve().parents[1] / "build" / "tasks"
BATCH: Final = 64
EPOCHS: Final = 3
"""Epochs of fine-tuning, of every method and of the dense model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """How well a model does on one split.

    Attributes:
        score: accuracy or R squared, from 0 to 1; a model that is worse than a constant has 0.
        loss: cross entropy, or 1 - R squared: smooth, lower is better.
    """

    score: float
    loss: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Splits:
    """Inputs and targets of the three splits; the first size is that of the batch."""

    train: Pair
    validation: Pair
    test: Pair

    def of(self, split: Split) -> Pair:
        return {"train": self.train, "validation": self.validation, "test": self.test}[split]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Task:
    """A model to make smaller, the data that it was trained on, and how well a model does.

    Attributes:
        name: of the task.
        metric: what `Marks.score` is.
        kind: what the targets are.
        floor: the worst score that counts for the hypervolume; the best is 1.
        network: makes the untrained model.
        load: reads the splits.
        epochs: of the dense training.
        rate: highest learning rate of the dense training.
        batch: samples in a step of fine-tuning.
    """

    name: str
    metric: Literal["accuracy", "r2"]
    kind: Literal["classes", "values"]
    floor: float
    network: Callable[[], nn.Module]
    load: Callable[[], Splits]
    epochs: int
    rate: float
    batch: int = BATCH

    @property
    def data(self) -> Splits:
        """The three splits; read once a process."""
        return self.load()

    @property
    def inputs(self) -> Tensor:
        """A batch of 32, ``(32, ...)``: what a model is profiled and timed with.

        Of a single example most of the time is that of calling some thirty operations, whatever their sizes.
        """
        return self.data.train[0][:32]

    def calibration(self, samples: int = 512, batch: int = 128) -> list[Tensor]:
        """Return inputs of the training split, without targets."""
        return list(torch.split(self.data.train[0][:samples], batch))

    def build(self, seed: int) -> nn.Module:
        """Return the untrained model in evaluation mode; the random state is left as it was."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self.network().eval()

    def dense(self, seed: int) -> nn.Module:
        """Return the trained model in evaluation mode: trained now, or read where it was trained before."""
        path = BUILD / f"{self.name}-{seed}-{_digest()}.pt"
        model = self.build(seed)
        if path.exists():
            model.load_state_dict(torch.load(path, weights_only=True))
            return model.eval()
        self._train(model, seed)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{time.time_ns()}")  # two processes may train the same one
        torch.save(model.state_dict(), part)
        part.replace(path)
        return model.eval()

    def finetune(self) -> Distill:
        """Return the fine-tuning that every method and the dense model get: three epochs, taught by the dense model."""
        options = DistillOptions(batch_size=self.batch)
        return distill(self.data.train, epochs=EPOCHS, loss=self.loss, options=options)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of training: cross entropy, or the mean squared error (targets have unit variance)."""
        return (functional.cross_entropy if self.kind == "classes" else functional.mse_loss)(outputs, targets)

    def marks(self, model: nn.Module, split: Split) -> Marks:
        """Return how well a model does on one split; it is in evaluation mode afterwards."""
        inputs, targets = self.data.of(split)
        with torch.no_grad():
            outputs = model.eval()(inputs)
        if self.kind == "classes":
            right = float((outputs.argmax(1) == targets).float().mean())
            return Marks(score=right, loss=float(functional.cross_entropy(outputs, targets)))
        left = float((outputs - targets).square().sum() / (targets - targets.mean(0)).square().sum())
        return Marks(score=max(0.0, 1 - left), loss=left)

    def evaluate(self, model: nn.Module) -> Mapping[str, float]:
        """Return the score and the loss on the validation split: what a search is given."""
        found = self.marks(model, "validation")
        return {self.metric: found.score, "loss": found.loss}

    def _train(self, model: nn.Module, seed: int) -> None:
        inputs, targets = self.data.train
        drawn = torch.Generator().manual_seed(seed)
        optimizer = torch.optim.AdamW(model.parameters(), self.rate)
        steps = self.epochs * (len(inputs) // BATCH)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, self.rate, total_steps=steps)
        model.train()
        for _ in range(self.epochs):
            order = torch.randperm(len(inputs), generator=drawn)
            for part in order[: len(inputs) // BATCH * BATCH].split(BATCH):
                loss = self.loss(model(inputs[part]), targets[part])
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]  # torch has no types for it
                optimizer.step()
                schedule.step()


class ResidualBlock(nn.Module):
    """Two convolutions with batch norm and a way around them, with a convolution where the size changes."""

    def __init__(self, into: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(into, out, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        same = into == out and stride == 1
        around = [nn.Conv2d(into, out, 1, stride, bias=False), nn.BatchNorm2d(out)]
        self.around = nn.Identity() if same else nn.Sequential(*around)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        return functional.relu(inner + self.around(x))


class ResidualNet(nn.Module):
    """A stem and four residual blocks of 32, 32, 64 and 64 channels: 8 x 8, then 4 x 4 places."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 32, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(32)
        shapes = ((32, 32, 1), (32, 32, 1), (32, 64, 2), (64, 64, 1))
        self.blocks = nn.Sequential(*(ResidualBlock(*shape) for shape in shapes))
        self.head = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.blocks(functional.relu(self.bn(self.stem(x)))).mean((2, 3)))
        return logits


class Attention(nn.Module):
    """Attention of four heads with query, key and value as layers of their own."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (
            layer(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for layer in (self.query, self.key, self.value)
        )
        mixed = functional.scaled_dot_product_attention(query, key, value)
        out: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return out


class TransformerBlock(nn.Module):
    """Attention and two layers, each with a norm before and a way around."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.widen = nn.Linear(width, 2 * width)
        self.narrow = nn.Linear(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        out: Tensor = x + self.narrow(functional.gelu(self.widen(self.norm2(x))))
        return out


class VisionTransformer(nn.Module):
    """16 patches of 2 x 2 pixels, four blocks of width 64 with four heads, the mean over the patches."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, width, 2, 2)
        self.position = nn.Parameter(torch.randn(1, 16, width) * 0.02)
        self.blocks = nn.Sequential(*(TransformerBlock(width, 4) for _ in range(4)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2) + self.position
        logits: Tensor = self.head(self.norm(self.blocks(tokens)).mean(1))
        return logits


class MlpBlock(nn.Module):
    """A norm, two layers and a way around them: the residual block for tables of Gorishniy et al. 2021."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm1d(width)
        self.widen = nn.Linear(width, 2 * width)
        self.narrow = nn.Linear(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.narrow(functional.relu(self.widen(self.bn(x))))
        return out


class ResidualMlp(nn.Module):
    """From 26 numbers of a place to three colours, by four residual blocks of width 64 (arXiv:2106.11959, 3.2)."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.stem = nn.Linear(26, width)
        self.blocks = nn.Sequential(*(MlpBlock(width) for _ in range(4)))
        self.bn = nn.BatchNorm1d(width)
        self.head = nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        colours: Tensor = self.head(functional.relu(self.bn(self.blocks(self.stem(x)))))
        return colours


def _split(inputs: Tensor, targets: Tensor, train: int, validation: int) -> Splits:
    order = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(0))
    inputs, targets = inputs[order], targets[order]
    ends = (slice(0, train), slice(train, train + validation), slice(train + validation, None))
    first, second, third = ((inputs[end].contiguous(), targets[end].contiguous()) for end in ends)
    return Splits(train=first, validation=second, test=third)


@cache
def digits() -> Splits:
    """Images ``(n, 1, 8, 8)`` from 0 to 1 and labels: 1,000 to train on, 350 to choose by, 447 to test."""
    from sklearn.datasets import load_digits

    whole = load_digits()
    images = torch.as_tensor(whole.images, dtype=torch.float32)[:, None] / 16
    return _split(images, torch.as_tensor(whole.target), 1000, 350)


@cache
def picture() -> Splits:
    """Places ``(n, 26)`` and colours ``(n, 3)`` of unit variance: 5,000 to train on, 2,000 to choose by, 9,960 to test.

    A place is its two coordinates from -1 to 1, and the sines and cosines of them times pi, 2 pi, ..., 32 pi.
    """
    from sklearn.datasets import load_sample_image

    whole = torch.as_tensor(load_sample_image("china.jpg").copy(), dtype=torch.float32)[:424]
    blurred = functional.avg_pool2d(whole.permute(2, 0, 1)[None], 12, 4, padding=4, count_include_pad=False)
    colours = blurred[0].permute(1, 2, 0).reshape(-1, 3)  # 106 x 160 places
    places = torch.cartesian_prod(torch.linspace(-1, 1, 106), torch.linspace(-1, 1, 160))
    waves = [wave(torch.pi * 2**octave * places) for octave in range(6) for wave in (torch.sin, torch.cos)]
    return _split(torch.cat([places, *waves], 1), (colours - colours.mean(0)) / colours.std(0), 5000, 2000)


TASKS: Final[Mapping[str, Task]] = {
    task.name: task
    for task in (
        Task(
            name="cnn",
            metric="accuracy",
            kind="classes",
            floor=0.5,
            network=ResidualNet,
            load=digits,
            epochs=15,
            rate=4e-3,
            batch=32,
        ),
        Task(
            name="vit",
            metric="accuracy",
            kind="classes",
            floor=0.5,
            network=VisionTransformer,
            load=digits,
            epochs=40,
            rate=2e-3,
            batch=32,
        ),
        Task(
            name="mlp",
            metric="r2",
            kind="values",
            floor=0.5,
            network=ResidualMlp,
            load=picture,
            epochs=25,
            rate=3e-3,
        ),
    )
}


@cache
def _digest() -> str:
    return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:10]


def main() -> None:
    torch.set_num_threads(1)
    from effwidgets import profile

    for task in TASKS.values():
        for seed in range(int(sys.argv[1]) if len(sys.argv) > 1 else 1):
            started = time.perf_counter()
            model = task.dense(seed)
            seconds = time.perf_counter() - started
            cost = profile(model, task.inputs).cost
            print(f"{task.name} seed {seed}: {seconds:.1f} s, {cost.params:,} parameters, {cost.macs:,} MACs", end="")
            for split in ("train", "validation", "test"):
                found = task.marks(model, split)
                print(f"; {split} {found.score:.4f} loss {found.loss:.4f}", end="")
            print(flush=True)


if __name__ == "__main__":
    main()
