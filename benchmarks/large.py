"""A model that no machine here could hold: a Llama of 70 billion parameters, on meta, in bfloat16, 2,048 tokens.

Peers, in the same run: `FlopCounterMode` on meta, which counts MACs alone, and `torch.distributed._tools.MemTracker` on
a fake copy, which follows memory alone (one forward: it is slow, and with a backward it took four minutes). A process
for each; times of the processor, in turn; median over rounds after a run that is not timed. The call has explicit
positions and a mask of four dimensions, without which transformers asks for values that meta does not have; ours runs
the plain call too.

Targets: ours at most 2.5 times `FlopCounterMode` and 0.1 of MemTracker, with backward at most 6 times
`FlopCounterMode`'s forward; under 60 MB more resident memory; exact. Misses are printed; only a wrong count fails.

    python -m benchmarks.large [--quick]
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from typing import Final

import torch
from torch import nn

from benchmarks._contenders import BACKWARD, COUNTS, counter_mode
from benchmarks._verdicts import verdict
from benchmarks._workers import Reply, Task, Worker
from effwidgets.profiling import Call, make_shadow, profile, run
from effwidgets.testing.language import llama_70b

TOKENS: Final = 2048
# A layer: queries and output, keys and values of 8 heads of 128, three matrices to 28,672; then the head.
LINEAR: Final = TOKENS * (80 * (2 * 8192 * 8192 + 2 * 8192 * 1024 + 3 * 8192 * 28_672) + 8192 * 128_256)
ATTENTION: Final = 80 * 2 * TOKENS * TOKENS * 8192
FORWARD: Final = LINEAR + ATTENTION  # 147,837,069,295,616
BACKWARD_MACS: Final = 2 * LINEAR + ATTENTION // 2 * 5  # the kernel makes the scores again: five products for two
PARAMS: Final = 70_553_706_496

GROWTH: Final = """
import sys, warnings
warnings.simplefilter("ignore")
from benchmarks.large import ask, build, explicit
from effwidgets.profiling import profile, ProfileOptions
model, call = build(), explicit()

def resident(field):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(field))

for _ in range(2):
    with open("/proc/self/clear_refs", "w") as clear:
        clear.write("5")  # the highest mark starts anew
    before = resident("VmRSS")
    ask(model, call)
    print(1024 * (resident("VmHWM") - before))
"""


def build() -> nn.Module:
    """The model on meta."""
    kept = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device("meta"):
            return llama_70b().eval()
    finally:
        torch.set_default_dtype(kept)


def explicit() -> Call:
    """Tokens, positions and a mask, all on meta."""
    ids = torch.empty(1, TOKENS, dtype=torch.int64, device="meta")
    mask = torch.empty(1, 1, TOKENS, TOKENS, dtype=torch.bfloat16, device="meta")
    return Call((), {"input_ids": ids, "position_ids": ids, "attention_mask": mask, "use_cache": False})


def ask(model: nn.Module, call: Call) -> int:
    """Profile with MACs, memory and what is saved for backward; return the MACs."""
    return profile(model, call, options=COUNTS).cost.macs


def with_backward(model: nn.Module, call: Call) -> int:
    """Profile with the backward run; return the MACs of both ways."""
    cost = profile(model, call, options=BACKWARD).cost
    return cost.macs + cost.backward_macs


def mem_tracker(model: nn.Module, call: Call) -> int:
    """Return the peak in bytes that MemTracker finds in one forward of a fake copy."""
    from torch.distributed._tools.mem_tracker import MemTracker

    shadow = make_shadow(model)
    tracker = MemTracker()
    tracker.track_external(shadow.model)
    fake = shadow.fake(call)
    with shadow.mode, tracker, torch.no_grad():
        run(shadow.model, fake)
    peaks = tracker.get_tracker_snapshot("peak")
    return int(next(iter(peaks.values()))["Total"])


def race(tasks: dict[str, Task], once: set[str], rounds: int) -> dict[str, list[Reply]]:
    """Run the tasks in turn, each in its process; those in ``once`` a single time."""

    def maker(task: Task) -> Callable[[], Task]:
        return lambda: task

    replies: dict[str, list[Reply]] = {name: [] for name in tasks}
    with ExitStack() as stack:
        workers = {name: stack.enter_context(Worker([maker(task)])) for name, task in tasks.items()}
        for turn in range(rounds + 1):
            for name, worker in workers.items():
                if not turn or name not in once:
                    replies[name].append(worker.turn(0))
    return {name: kept if name in once else kept[1:] for name, kept in replies.items()}


def growth_bytes() -> list[int] | None:
    """Return by how much resident memory rises in a first and in a second profile; None where Linux is not."""
    if sys.platform != "linux":
        return None
    run = subprocess.run([sys.executable, "-c", GROWTH], capture_output=True, text=True, check=True)
    return [int(line) for line in run.stdout.split()]


def main() -> None:
    quick = "--quick" in sys.argv
    torch.set_num_threads(1)
    model, call = build(), explicit()
    assert sum(parameter.numel() for parameter in model.parameters()) == PARAMS
    plain = Call((), {"input_ids": torch.randint(128_256, (1, TOKENS))})
    truth = {
        "FCM meta": FORWARD,
        "ours": FORWARD,
        "ours, plain call": FORWARD,
        "ours, with backward": FORWARD + BACKWARD_MACS,
    }
    tasks: dict[str, Task] = {
        "FCM meta": counter_mode(model, call),
        "ours": lambda: ask(model, call),
        "ours, plain call": lambda: ask(model, plain),
        "ours, with backward": lambda: with_backward(model, call),
        "MemTracker": lambda: mem_tracker(model, call),
    }
    replies = race(tasks, {"MemTracker"}, 1 if quick else 3)
    sys.exit(show(replies, truth))


def show(replies: dict[str, list[Reply]], truth: dict[str, int]) -> bool:
    """Print the table and the targets; return whether a count of ours is wrong."""
    print(f"a Llama of {PARAMS:,} parameters on meta, {TOKENS} tokens: {FORWARD:,} MACs forward")
    wrong = False
    for name, kept in replies.items():
        exact = name not in truth or all(reply.value == truth[name] for reply in kept)
        wrong |= not exact and name.startswith("ours")
        said = kept[0].failure or (f"{kept[0].value:,} {'MACs' if name in truth else 'bytes at the peak'}")
        seconds = statistics.median(reply.seconds for reply in kept)
        print(f"  {name:28}{seconds:>8.2f} s   {said}{'' if exact else '   NOT EXACT'}")
    print(verdict("ours, in FlopCounterMode on meta", _ratio(replies, "ours", "FCM meta"), 2.5))
    print(verdict("ours, in MemTracker", _ratio(replies, "ours", "MemTracker"), 0.1))
    print(
        verdict(
            "ours with backward, in FlopCounterMode's forward", _ratio(replies, "ours, with backward", "FCM meta"), 6
        )
    )
    grown = growth_bytes()
    if grown is not None:
        first, later = (grew / 1e6 for grew in grown)
        print(verdict("resident memory in the first profile of a process", first, 60, " MB"))
        print(f"  {'and in the second':<64} {later:>8.2f} MB")
    return wrong


def _ratio(replies: dict[str, list[Reply]], one: str, other: str) -> float:
    first, second = (statistics.median(reply.seconds for reply in replies[name]) for name in (one, other))
    return first / second if second else float("nan")


if __name__ == "__main__":
    main()
