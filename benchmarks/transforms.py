"""What carrying out a plan of 20 steps on a ResNet-50 takes, in forwards of that same model, and how much memory.

The plan mixes spatial and plain decompositions, bottlenecks and prunings, on layers that have nothing in common and on
neighbours, interleaved. No repair; the model is profiled too, with groups and a second opinion, before and after. Peer:
the forward itself (batch of 1, 224 x 224); forwards and `apply` take turns in one process with one thread, and the
ratio is made within a turn. Beside it, what the same steps take one `apply` each, which profiles and checks each time.

Memory: how far the resident memory of a fresh process rises above what it was before `apply`, at its highest, in sizes
of the model; the edited copy and what `undo` needs are in it.

Claims: at most 25 forwards, under 2.5 models. Misses are printed and do not fail: machines are noisy. A step that was
not done fails. The scores of ranks are in `_rank_scores`.

    python -m benchmarks.transforms [--quick]     one round, and without the steps one by one and the ranks
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Final

import torch
from torch import nn

from benchmarks._verdicts import verdict
from effwidgets.records import Plan, Step, settings
from effwidgets.testing.zoo import resnet50
from effwidgets.transforms import apply

ROUNDS: Final = 5
FORWARDS: Final = 5
CLAIM: Final = 25.0
MODELS: Final = 2.5

GROWTH: Final = """
import warnings
warnings.simplefilter("ignore")
import torch
from torch import nn
from benchmarks.transforms import plan_of, step
from effwidgets.records import Plan
from effwidgets.testing.zoo import resnet50
from effwidgets.transforms import apply

torch.set_num_threads(1)
model, x = resnet50().eval(), torch.randn(1, 3, 224, 224)

def resident(field):
    with open("/proc/self/status") as status:
        return 1024 * next(int(line.split()[1]) for line in status if line.startswith(field))

small = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.Flatten(), nn.Linear(32, 8))
steps = (step("channel_prune", "0", channels=4), step("low_rank", "4", rank=2))
apply(small, Plan(steps=steps), torch.ones(1, 3, 6, 6))
with torch.no_grad():
    model(x)
with open("/proc/self/clear_refs", "w") as clear:
    clear.write("5")  # the highest mark starts anew
before = resident("VmRSS")
applied = apply(model, plan_of(), x, repair=False)
size = sum(tensor.nbytes for tensor in (*model.parameters(), *model.buffers()))
print((resident("VmHWM") - before) / size, (resident("VmRSS") - before) / size)
"""


def step(transform: str, layer: str, **values: object) -> Step:
    return Step(transform=transform, layers=(layer,), settings=settings(values))


def plan_of() -> Plan:
    """Twenty steps, interleaved: 4 and 5 and so on are the blocks, of planes 64, 128, 256 and 512."""
    planes = {**dict.fromkeys((4, 5, 6), 64), **dict.fromkeys((7, 8, 9, 10), 128), **dict.fromkeys(range(11, 17), 256)}
    half = {block: size // 2 for block, size in planes.items()}
    kinds: dict[int, tuple[Step, ...]] = {
        # A pruning and the split of the layer that reads the channels: neighbours.
        block: (
            step("channel_prune", f"{block}.convs.0", channels=half[block]),
            step("spatial_svd", f"{block}.convs.1", rank=half[block] // 2),
        )
        for block in (4, 7, 11, 14)
    }
    kinds |= {
        block: (
            step("bottleneck", f"{block}.convs.1", rank_in=half[block], rank_out=half[block]),
            step("low_rank", f"{block}.convs.2", rank=half[block] // 2),
        )
        for block in (5, 8, 12)
    }
    kinds |= {block: (step("low_rank", f"{block}.convs.0", rank=half[block] // 2),) for block in (6, 9)}
    kinds |= {block: (step("spatial_svd", f"{block}.convs.1", rank=half[block]),) for block in (10, 13)}
    # Both sides of one layer: neighbouring prunings.
    last = tuple(step("channel_prune", f"16.convs.{place}", channels=192) for place in (0, 1))
    return Plan(steps=(*(one for block in sorted(kinds) for one in kinds[block]), *last))


def seconds(task: Callable[[], object]) -> float:
    """Of the processor: with one thread the same as by the clock, but for what else the machine is doing."""
    start = time.process_time()
    task()
    return time.process_time() - start


def forwards(model: nn.Module, x: torch.Tensor) -> float:
    with torch.inference_mode():
        return statistics.median(seconds(lambda: model(x)) for _ in range(FORWARDS))


def one_by_one(model: nn.Module, plan: Plan, x: torch.Tensor) -> None:
    for single in plan:
        model = apply(model, Plan(steps=(single,)), x, repair=False).model


def in_turns(task: Callable[[], object], model: nn.Module, x: torch.Tensor, rounds: int) -> list[float]:
    """Return what ``task`` takes in forwards, turn by turn."""
    ratios = []
    before = forwards(model, x)
    for _ in range(rounds):
        spent = seconds(task)
        after = forwards(model, x)
        ratios.append(2 * spent / (before + after))
        before = after
    return ratios


def growth() -> tuple[float, float]:
    """Return how far memory rises, at its highest and for good, in models; of a fresh process."""
    run = subprocess.run([sys.executable, "-c", GROWTH], capture_output=True, text=True, check=True)
    peak, kept = map(float, run.stdout.split())
    return peak, kept


def main() -> None:
    quick = "--quick" in sys.argv
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model, x, plan = resnet50().eval(), torch.randn(1, 3, 224, 224), plan_of()
    done = apply(model, plan, x, repair=False)  # also loads what is loaded once
    print(f"apply of {len(plan)} steps on a ResNet-50, batch of 1, one thread: {done!r}")
    ratios = in_turns(lambda: apply(model, plan, x, repair=False), model, x, 1 if quick else ROUNDS)
    print(verdict("apply without repair, in forwards", statistics.median(ratios), CLAIM))
    print(f"    turn by turn: {', '.join(f'{ratio:.1f}' for ratio in ratios)}")
    if not quick:
        single = in_turns(lambda: one_by_one(model, plan, x), model, x, 1)[0]
        print(f"    the same steps one apply each: {single:.0f} forwards")
    peak, kept = growth()
    print(verdict("memory at its highest, in models", peak, MODELS))
    print(f"    afterwards, with the edited model and what undo needs: {kept:.2f} models")
    if not quick:
        from benchmarks._rank_scores import rank_claims

        print("\n".join(rank_claims()))
    for skip in done.skipped:
        print(f"NOT DONE: {skip.reason}")
    sys.exit(bool(done.skipped))


if __name__ == "__main__":
    main()
