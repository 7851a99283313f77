"""What a list of suggestions takes with every column filled, in forwards of the model that it is for.

A ResNet-18 at 224 x 224 and a ViT-B/16, batch 2, one thread, one process. The list holds, for each entry, exact
savings, the peak after it, the change of the time measured on its pieces (nothing remembered from earlier runs), and
the error of the outputs. Peer: what decomposing each weight of a convolution or linear layer once by
`torch.linalg.svd` takes, the least that trying any rank of it by the textbook would. Forwards, peer and `suggest` take
turns, and the ratio is made within a turn.

Claims: at most 170 forwards of the ResNet-18 and 40 of the ViT-B/16.

    python -m benchmarks.suggest [resnet18 | vit]
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable

import torch
from torch import nn

from effwidgets.search import suggest
from effwidgets.testing.zoo import resnet18

ROUNDS = 3
FORWARDS = 5
CLAIMS = {"resnet18": 170, "vit": 40}


def model_of(name: str) -> nn.Module:
    if name == "resnet18":
        return resnet18().eval()
    from transformers import ViTConfig, ViTForImageClassification

    made: nn.Module = ViTForImageClassification(ViTConfig(num_labels=1000))
    return made.eval()


def seconds(task: Callable[[], object]) -> float:
    # Of the processor: with one thread the same as by the clock, but for what else the machine is doing.
    start = time.process_time()
    task()
    return time.process_time() - start


def decompose(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            torch.linalg.svd(module.weight.detach().flatten(1), full_matrices=False)


def fresh(model: nn.Module, x: torch.Tensor) -> None:
    """Make the list with an empty cache of timings, and look whether every column is filled."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["EFFWIDGETS_CACHE"] = folder
        found = suggest(model, x)
    missing = [one.headline for one in found if None in (one.latency, one.memory_after, one.error)]
    if not len(found) or missing:
        sys.exit(f"A column is empty at {missing or 'all: nothing was found'}")


def measured(name: str) -> bool:
    torch.manual_seed(0)
    model, x = model_of(name), torch.randn(2, 3, 224, 224)

    def forward() -> float:
        with torch.inference_mode():
            return statistics.median(seconds(lambda: model(x)) for _ in range(FORWARDS))

    forward()
    ours, peers, units = [], [], []
    for _ in range(ROUNDS):
        before = forward()
        peered = seconds(lambda: decompose(model))
        middle = forward()
        spent = seconds(lambda: fresh(model, x))
        after = forward()
        units.append(statistics.mean((before, middle, after)))
        peers.append(peered / statistics.mean((before, middle)))
        ours.append(spent / statistics.mean((middle, after)))
    ratio, unit, peer = statistics.median(ours), statistics.median(units), statistics.median(peers)
    print(f"{name} at 224 x 224, batch 2, one thread, as forwards of that model")
    print(f"  forward  {unit * 1000:.0f} ms")
    print(f"  peer     {peer:.0f} forwards (from {min(peers):.0f} to {max(peers):.0f}): svd, once a weight")
    print(f"  ours     {ratio:.0f} forwards (from {min(ours):.0f} to {max(ours):.0f}); claimed: {CLAIMS[name]} at most")
    print(f"           {ratio * unit:.1f} s; {ratio / peer:.1f} times the peer")
    return ratio <= CLAIMS[name]


def main() -> None:
    torch.set_num_threads(1)
    warm = nn.Sequential(nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 16, 3))
    fresh(warm.eval(), torch.randn(1, 3, 16, 16))  # what is imported and set up once
    names = sys.argv[1:] or list(CLAIMS)
    held = [measured(name) for name in names]
    sys.exit(not all(held))


if __name__ == "__main__":
    main()
