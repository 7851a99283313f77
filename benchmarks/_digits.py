"""A small task that trains in seconds: 1,797 digits of 8 x 8 from scikit-learn, and a net of four convolutions."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from effwidgets.errors import TransformError
from effwidgets.records import Group, LayerProfile, Plan, Profile, Step, settings
from effwidgets.transforms.foresee import estimate_plan

__all__ = ["Digits", "accuracy", "digits", "factor_plan", "prune_plan", "trained", "tuned"]

TRAIN = 1200
BATCH = 64


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Digits:
    """Images ``(n, 1, 8, 8)`` from 0 to 1 and labels ``(n,)``, to train on and to test on."""

    train: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]

    def calibration(self, samples: int = 512, batch: int = 128) -> list[Tensor]:
        """Return images of the training set, without labels."""
        return list(torch.split(self.train[0][:samples], batch))


def digits() -> Digits:
    """Return the digits in the same random order each time."""
    from sklearn.datasets import load_digits

    whole = load_digits()
    order = torch.randperm(len(whole.target), generator=torch.Generator().manual_seed(0))
    images = torch.as_tensor(whole.images, dtype=torch.float32)[order, None] / 16
    labels = torch.as_tensor(whole.target)[order]
    return Digits(train=(images[:TRAIN], labels[:TRAIN]), test=(images[TRAIN:], labels[TRAIN:]))


def net() -> nn.Sequential:
    """Return 4 convolutions with batch norm, a pooling after the second, and a linear head."""
    layers: list[nn.Module] = []
    into = 1
    for number, out in enumerate((32, 64, 64, 64)):
        layers += [nn.Conv2d(into, out, 3, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU()]
        layers += [nn.MaxPool2d(2)] if number == 1 else []
        into = out
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(into, 10))


def trained(data: Digits, seed: int, epochs: int = 12, rate: float = 2e-3) -> nn.Module:
    """Return a net that gets about 99.3 % of the test images right."""
    torch.manual_seed(seed)
    model = net()
    steps = epochs * (TRAIN // BATCH)
    optimizer = torch.optim.AdamW(model.parameters(), rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps)
    _epochs(model, data, epochs, optimizer, schedule)
    return model.eval()


def tuned(model: nn.Module, data: Digits, seed: int, epochs: int = 2, rate: float = 5e-4) -> nn.Module:
    """Return a copy that was trained for some more epochs."""
    torch.manual_seed(seed)
    model = copy.deepcopy(model)
    _epochs(model, data, epochs, torch.optim.AdamW(model.parameters(), rate), None)
    return model.eval()


def _epochs(
    model: nn.Module,
    data: Digits,
    epochs: int,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler | None,
) -> None:
    images, labels = data.train
    model.train()
    for _ in range(epochs):
        for part in torch.split(torch.randperm(len(images))[: len(images) // BATCH * BATCH], BATCH):
            loss = nn.functional.cross_entropy(model(images[part]), labels[part])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch has no types for it
            optimizer.step()
            if schedule is not None:
                schedule.step()


def accuracy(model: nn.Module, data: Digits) -> float:
    """Return the percentage of the test images that the model gets right."""
    images, labels = data.test
    with torch.no_grad():
        return float((model.eval()(images).argmax(1) == labels).float().mean()) * 100


def prune_plan(profile: Profile, macs: float, criterion: str = "l2") -> Plan:
    """Return the plan that keeps the same share of channels in every group, the largest for ``macs`` of the dense."""
    groups = [group for group in profile.groups if group.obstacle is None]

    def plan(share: float) -> Plan:
        return Plan(steps=tuple(_pruned(group, share, criterion) for group in groups))

    return _largest(profile, macs, plan)


def factor_plan(profile: Profile, macs: float, transform: str, **others: str) -> Plan:
    """Return the plan that splits all convolutions but the first, each to the same share of its full rank."""
    layers = [layer for layer in profile.layers if layer.kind == "Conv2d"][1:]

    def plan(share: float) -> Plan:
        return Plan(steps=tuple(_split(layer, transform, share, others) for layer in layers))

    return _largest(profile, macs, plan)


def _pruned(group: Group, share: float, criterion: str) -> Step:
    channels = max(1, round(group.channels * share))
    named = settings(channels=channels, criterion=criterion)
    return Step(transform="channel_prune", layers=(group.name,), settings=named)


def _split(layer: LayerProfile, transform: str, share: float, others: dict[str, str]) -> Step:
    weight = layer.tensor("weight")
    out, into = weight.shape[:2] if weight else (1, 1)
    full = {"low_rank": {"rank": out}, "spatial_svd": {"rank": 3 * min(out, into)}}
    ranks = full.get(transform, {"rank_in": into, "rank_out": out})
    named = {name: max(1, round(rank * share)) for name, rank in ranks.items()}
    return Step(transform=transform, layers=(layer.name,), settings=settings(**named, **others))


def _largest(profile: Profile, macs: float, plan: Callable[[float], Plan]) -> Plan:
    for share in range(99, 0, -1):
        made = plan(share / 100)
        try:
            if profile.cost.macs + estimate_plan(profile, made).macs <= macs * profile.cost.macs:
                return made
        except TransformError:  # a share at which a layer would not be smaller
            continue
    message = f"No share keeps {macs:.0%} of the MACs."
    raise TransformError(message)
