"""What scoring every rank of every layer of a ResNet-50 takes, in forwards of that same model.

One decomposition a layer tells the error of all its ranks: of the 1 x 1 convolutions and the last layer as they are, of
the others in the spatial unfolding. Peer: `torch.linalg.svd` of the weight of each of the same layers, the textbook's
way to the same numbers. One thread, one process: forwards, peer and ours take turns, and the ratio is made in a turn.

Claim: at most 40 forwards (batch of 1, 224 x 224), and fewer than the peer takes.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
from torch import nn

from benchmarks._verdicts import verdict
from effwidgets import profile
from effwidgets.records import Site
from effwidgets.testing.zoo import resnet50
from effwidgets.transforms.base import TRANSFORMS
from effwidgets.transforms.factorize.spectra import Spectra, spectra_of

__all__ = ["rank_claims"]

ROUNDS = 3
FORWARDS = 5
CLAIM = 40


def seconds(task: Callable[[], object]) -> float:
    """Return the processor time of ``task``: with one thread the same as by the clock, but for who else is there."""
    start = time.process_time()
    task()
    return time.process_time() - start


def sites_to_score(model: nn.Module, x: torch.Tensor) -> list[tuple[Site, torch.Tensor]]:
    """Return each layer once, with the technique that is advised there, and its weight."""
    known, found = profile(model, x), {}
    for name in ("low_rank", "spatial_svd"):
        for site in TRANSFORMS[name].sites(known):
            if isinstance(site, Site) and site.advised:
                found[site.layers[0]] = site
    return [(site, model.get_submodule(layer).weight) for layer, site in found.items()]


def score(sites: list[tuple[Site, torch.Tensor]]) -> list[list[float]]:
    """Return the relative errors of every rank that saves, layer by layer."""
    scored = []
    for site, weight in sites:
        (knob,) = site.knobs
        even = int(knob.break_even or 1)
        spectra: Spectra = spectra_of(site.transform, weight, [even])
        tails = spectra.squares[0].flip(0).cumsum(0).flip(0)
        scored.append((tails[1 : even + 1] / spectra.total).sqrt().tolist())
    return scored


def textbook(sites: list[tuple[Site, torch.Tensor]]) -> None:
    """Decompose each weight by `torch.linalg.svd`."""
    for _, weight in sites:
        torch.linalg.svd(weight.detach().flatten(1), full_matrices=False)


def rank_claims(rounds: int = ROUNDS) -> list[str]:
    """Measure, and return the lines that say so; the last ones are the verdicts."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model, x = resnet50().eval(), torch.randn(1, 3, 224, 224)
    sites = sites_to_score(model, x)

    def forward() -> float:
        with torch.inference_mode():
            return statistics.median(seconds(lambda: model(x)) for _ in range(FORWARDS))

    forward(), score(sites[:3])  # what is set up once
    ours, peers, units = [], [], []
    for _ in range(rounds):
        before = forward()
        peered = seconds(lambda: textbook(sites))
        middle = forward()
        spent = seconds(lambda: score(sites))
        after = forward()
        peers.append(peered / statistics.mean((before, middle)))
        ours.append(spent / statistics.mean((middle, after)))
        units.append(statistics.mean((before, middle, after)))
    mine, peer = statistics.median(ours), statistics.median(peers)
    count = sum(int(site.knobs[0].break_even or 1) for site, _ in sites)
    return [
        f"all {count:,} ranks that save of {len(sites)} layers of a ResNet-50, in forwards of it (1 x 224 x 224)",
        f"  forward  {statistics.median(units) * 1000:.0f} ms of one thread",
        f"  peer     {peer:.1f} forwards (from {min(peers):.1f} to {max(peers):.1f}): torch.linalg.svd of each weight",
        f"  ours     {mine:.1f} forwards (from {min(ours):.1f} to {max(ours):.1f}), {mine / peer:.2f} of the peer",
        verdict("all candidate ranks scored, in forwards", mine, CLAIM),
        verdict("the same, over the peer", mine / peer, 1),
    ]


if __name__ == "__main__":
    print("\n".join(rank_claims()))
