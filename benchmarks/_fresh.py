"""First calls, in processes that have done nothing else: what they take beyond later ones, and on what."""

from __future__ import annotations

import json
import re
import statistics
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks._verdicts import verdict

# With batch norms, with attention, with convolutions alone: they wake different parts of torch.
MODELS: Final = ("resnet.resnet18", "vision_transformer.vit_b_16", "unet.unet")
SOURCES: Final = Path(__file__).parent.parent / "effwidgets" / "testing"
PEER: Final = "FCM meta"
MARK: Final = "--- the first call ---"

# The import of the tool itself is timed apart; all that it puts off until it is called is part of the first call.
CODE: Final = """
import importlib.util, json, statistics, sys, time, warnings
warnings.simplefilter("ignore")
import torch

who, path, name, mark = sys.argv[1:]
# By its path: through the package, the peer would find things loaded that it must load itself.
spec = importlib.util.spec_from_file_location("model", path)
module = importlib.util.module_from_spec(spec)
sys.modules["model"] = module
spec.loader.exec_module(module)
model, x = getattr(module, name)().eval(), torch.zeros(1, 3, 224, 224)
if who == "peer":  # moved, not built there: initialising on meta would wake what the call has to
    model, x = model.to("meta"), x.to("meta")

def timed(task):
    start, clock = time.process_time(), time.perf_counter()
    task()
    return time.process_time() - start, time.perf_counter() - clock

def ours():
    global call
    from effwidgets import profile
    from effwidgets.profiling import ProfileOptions
    call = lambda: profile(model, x, options=ProfileOptions(groups=False, backward=False))

def peer():
    global call
    from torch.utils.flop_counter import FlopCounterMode
    def call():
        with FlopCounterMode(display=False), torch.no_grad():
            model(x)

import_s = timed(ours if who == "ours" else peer)
print(mark, file=sys.stderr, flush=True)
first_s = timed(lambda: call())
print(mark, file=sys.stderr, flush=True)
later_s = sorted(timed(lambda: call()) for _ in range(3))[1]
print(json.dumps([import_s, first_s, later_s]))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """One fresh process.

    Attributes:
        import_s: of the tool, before any call.
        first_s: of the first call.
        later_s: of a later one.
        imports: first two parts of a module's name -> seconds by the clock that importing it took inside that call.
        clock_s: what the first call took beyond a later one, by the clock; the others are of the processor.
    """

    import_s: float
    first_s: float
    later_s: float
    imports: Counter[str]
    clock_s: float

    @property
    def extra_s(self) -> float:
        return self.first_s - self.later_s


def start(who: str, where: str, *, imports: bool = False) -> Start:
    """Run one process; watching its imports slows it down."""
    flags = ["-X", "importtime"] if imports else []
    module, _, name = where.partition(".")
    command = [sys.executable, *flags, "-c", CODE, who, str(SOURCES / f"{module}.py"), name, MARK]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    inside = run.stderr.split(MARK)[1] if imports else ""
    found: Counter[str] = Counter()
    for self_us, name in re.findall(r"import time:\s+(\d+) \|\s+\d+ \|\s*(\S+)", inside):
        found[".".join(name.split(".")[:2])] += int(self_us) / 1e6
    loaded, first, later = json.loads(run.stdout)
    clock_s = first[1] - later[1]
    return Start(import_s=loaded[0], first_s=first[0], later_s=later[0], imports=found, clock_s=clock_s)


def fresh(processes: int) -> None:
    """Print first calls of ours and of the peer, in turn, and what they are spent on."""
    print(f"first call minus later call, {processes} fresh processes each, in turn")
    for where in MODELS:
        pairs = [(start("ours", where), start("peer", where)) for _ in range(processes)]
        _show("ours", where, [pair[0] for pair in pairs])
        _show(PEER, where, [pair[1] for pair in pairs])
        share = statistics.median(one.extra_s / other.extra_s for one, other in pairs)
        print(verdict(f"{where.partition('.')[2]}: that of ours in that of {PEER}", share, 1.1))
    for who in ("ours", "peer"):
        _spent(who, start(who, MODELS[0], imports=True))


def _show(who: str, where: str, runs: list[Start]) -> None:
    extra_s = statistics.median(run.extra_s for run in runs)
    later_s = statistics.median(run.later_s for run in runs)
    import_s = statistics.median(run.import_s for run in runs)
    print(
        f"  {where.partition('.')[2]:12}{who:10}{extra_s * 1000:>7.0f} ms beyond a later call "
        f"({later_s * 1000:.0f} ms); {import_s * 1000:.0f} ms to import before"
    )


def _spent(who: str, run: Start) -> None:
    imported = run.imports.total()
    largest = ", ".join(f"{name} {seconds * 1000:.0f}" for name, seconds in run.imports.most_common(6))
    rest = max(0.0, run.clock_s - imported)
    print(
        f"  spent by {who if who == 'ours' else PEER}, its imports watched: {imported * 1000:.0f} ms on imports "
        f"({largest or 'none'}), {rest * 1000:.0f} ms on filling caches and running for the first time; by the clock"
    )
