"""Times taken side by side."""

from __future__ import annotations

import math
import random
import statistics
import time

import torch

from effwidgets.profiling.timing.clock import Clock
from effwidgets.profiling.timing.stopwatch import paired, times_of


def test_what_takes_longer_is_found_to():
    work = {loops: (lambda loops=loops: sum(range(loops))) for loops in (2_000, 40_000)}
    found = times_of(work, Clock([]), seconds=0.05)
    change, error = paired(found[40_000], found[2_000])
    assert change - error > 0


def test_all_take_turns_and_the_first_round_is_not_counted():
    order: list[int] = []
    found = times_of({n: (lambda n=n: order.append(n)) for n in range(3)}, Clock([]), seconds=0.0)
    assert {len(row) for row in found.values()} == {9}


def test_the_notch_covers_the_median_of_the_differences():
    """Of 400 samples of 15 differences about 0.3: the interval is meant for 95%, and wide of it is wrong."""
    drawn = random.Random(0)  # noqa: S311  noise, not a secret
    inside = 0
    for _ in range(400):
        times = [drawn.gauss(1.3, 0.1) for _ in range(15)]
        middle, error = paired(times, [1.0] * 15)
        inside += abs(middle - 0.3) <= error
    # The notch of a normal sample covers some 90% at this size; the binomial error of 400 is 1.5%.
    assert 0.84 <= inside / 400 <= 0.99


def test_a_pair_by_hand():
    middle, error = paired([2.0, 4.0, 6.0, 8.0], [1.0, 1.0, 1.0, 1.0])
    low, median, high = statistics.quantiles([1.0, 3.0, 5.0, 7.0], n=4)
    assert (middle, error) == (median, 1.57 * (high - low) / math.sqrt(4))


def test_on_one_thread_time_that_others_take_is_not_counted():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        found = times_of({1: lambda: time.sleep(0.005)}, Clock([]), seconds=0.0)
    finally:
        torch.set_num_threads(before)
    assert statistics.median(found[1]) < 0.002  # a sleeping thread does not work
