"""What `import effwidgets` adds to `import torch`.

Peer: `import torch` in the same process; fresh processes.

Claim: under 0.40 of the time that torch itself takes. What only some verbs need (health, disk, sweeps, comparisons,
latency, sparsity) is imported by them; most of the rest is the making of the records' classes.
"""

from __future__ import annotations

import statistics
import subprocess
import sys

CODE = """
import sys, time
start = time.perf_counter(); import torch; torch_s = time.perf_counter() - start
start = time.perf_counter(); import effwidgets; ours_s = time.perf_counter() - start
print(torch_s, ours_s)
"""
ROUNDS = 7


def main() -> None:
    pairs = []
    for _ in range(ROUNDS):
        run = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
        pairs.append(tuple(map(float, run.stdout.split())))
    ratios = sorted(ours / torch for torch, ours in pairs)
    median = statistics.median(ratios)
    print("import effwidgets, as a share of import torch")
    print(f"  torch   {statistics.median(pair[0] for pair in pairs):.2f} s (median of {ROUNDS} fresh processes)")
    print(f"  ours    {statistics.median(pair[1] for pair in pairs):.2f} s on top")
    print(f"  ratio   {median:.3f} (from {ratios[0]:.3f} to {ratios[-1]:.3f}); claimed: under 0.40")
    sys.exit(median >= 0.40)


if __name__ == "__main__":
    main()
