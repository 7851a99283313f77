"""Processes of our own: they survive nothing that their search does not, and nothing that they do ends it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import torch

from effwidgets.search.crews.child import Child
from effwidgets.search.crews.processes import ProcessCrew
from tests.search.crews.conftest import LIMIT_S, maker_kit, order

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[3]


def runs(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return not Path(f"/proc/{pid}/stat").exists() or Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"


def wait_until(condition, what):
    until = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < until, what
        time.sleep(0.05)


@pytest.fixture
def crew(process_crew):
    return process_crew


def test_a_process_that_ends_itself_fails_its_order_only_and_is_replaced(crew):
    crew.submit(order(0)).result(LIMIT_S)
    dying, others = crew.submit(order(1, "die")), [crew.submit(order(number)) for number in (2, 3)]
    candidate = dying.result(LIMIT_S).candidate
    assert candidate.state == "failed"
    assert "code 7" in candidate.note
    assert [other.result(LIMIT_S).candidate.state for other in others] == ["done", "done"]
    assert crew.submit(order(4)).result(LIMIT_S).candidate.state == "done"


def test_a_process_that_is_killed_from_outside_fails_its_order_only(crew):
    crew.submit(order(0)).result(LIMIT_S)
    future = crew.submit(order(1, "sleep 60"))
    time.sleep(0.3)
    for pid in crew.pids:
        os.kill(pid, signal.SIGKILL)
    candidate = future.result(LIMIT_S).candidate
    assert candidate.state == "failed"
    assert "SIGKILL" in candidate.note
    assert "memory" in candidate.note
    assert crew.submit(order(2)).result(LIMIT_S).candidate.state == "done"


def test_an_order_given_to_a_process_that_had_died_unseen_is_done_by_another(crew, monkeypatch):
    """The system takes its time to end what was killed: till then it is taken to be alive."""
    crew.submit(order(0)).result(LIMIT_S)
    dead = crew.pids
    with monkeypatch.context() as patch:
        patch.setattr(Child, "alive", property(lambda child: True))
        for pid in dead:
            os.kill(pid, signal.SIGKILL)
        made = crew.submit(order(1)).result(LIMIT_S)
    assert made.candidate.state == "done", made.candidate.note
    assert made.candidate.score("pid") not in dead


def test_a_stop_that_comes_just_after_the_end_of_an_order_cancels_no_later_one(crew):
    first = [crew.submit(order(number)) for number in (1, 2)]
    assert [future.result(LIMIT_S).candidate.state for future in first] == ["done", "done"]
    for child in crew._free:
        child.replies.put(("ring", ""))  # the parent's stop, when the answer was on its way
        child.send(("cancel", 1))  # and what it told the process, when the order was over there
    again = [crew.submit(order(1, "loop 0.1")) for _ in crew._free]
    assert [future.result(LIMIT_S).candidate.state for future in again] == ["done", "done"]


def test_the_random_state_of_a_process_is_set_by_the_seed_of_each_order(crew):
    drawn = [
        crew.submit(order(number, "draw", seed=seed)).result(LIMIT_S).candidate.score("drawn")
        for number, seed in ((1, 3), (2, 4), (3, 3))
    ]
    assert drawn[0] == drawn[2] != drawn[1]
    expected = torch.rand((), generator=torch.Generator().manual_seed(3)).item()
    assert drawn[0] == expected


def test_what_a_process_prints_is_neither_seen_nor_mixed_into_its_answers(crew, capfd):
    candidate = crew.submit(order(1, "print")).result(LIMIT_S).candidate
    assert candidate.state == "done"
    assert capfd.readouterr() == ("", "")


def test_each_process_computes_with_its_share_of_the_cores(crew):
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    candidate = crew.submit(order(1)).result(LIMIT_S).candidate
    assert candidate.score("threads") == max(1, min(torch.get_num_threads(), cores // 2))


def test_closing_leaves_no_process():
    crew = ProcessCrew(maker_kit(), 2)
    crew.submit(order(1)).result(LIMIT_S)
    pids = crew.pids
    assert pids
    busy = crew.submit(order(2, "sleep 100"))
    time.sleep(0.3)
    crew.close()
    assert busy.result(LIMIT_S).candidate.state == "cancelled"
    wait_until(lambda: not any(runs(pid) for pid in pids), "a process stayed")


SCRIPT = """
import os, sys, time
import torch
from effwidgets.search import SearchOptions, explore
from effwidgets.records import Plan, Step, settings

class Net(torch.nn.Module):  # of the main program, which no worker can import
    def __init__(self):
        super().__init__()
        self.body = torch.nn.utils.parametrizations.weight_norm(torch.nn.Linear(12, 24))
        self.head = torch.nn.Linear(24, 4)

    def forward(self, x):
        return self.head(torch.relu(self.body(x)))

torch.manual_seed(0)
model, x = Net().eval(), torch.randn(64, 12)
with torch.no_grad():
    target = model(x).argmax(1)

def agreement(candidate):
    assert type(candidate).__name__ == "Net"
    with torch.no_grad():
        return {"agreement": (candidate(x).argmax(1) == target).double().mean().item(), "pid": float(os.getpid())}

plans = tuple(
    Plan(steps=(Step(transform="low_rank", layers=("head",), settings=settings(rank=rank)),)) for rank in (3, 2, 1)
)
options = SearchOptions(plans=plans, executor="processes", workers=2, calibration=x)
study = explore(model, x, evaluate=agreement, options=options)
"""


def script(tmp_path, rest):
    path = tmp_path / "main_program.py"
    path.write_text(textwrap.dedent(SCRIPT) + textwrap.dedent(rest))
    return [sys.executable, str(path)]


def environment():
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def test_a_script_without_a_guard_searches_a_parametrized_model_of_its_own_class(tmp_path):
    rest = """
    study.run()
    known = study.candidates()
    assert [one.state for one in known] == ["done"] * 4, [one.note for one in known]
    pids = {one.score("pid") for one in known}
    assert os.getpid() not in pids
    print("searched", *[one.score("agreement") for one in known])
    """
    done = subprocess.run(
        script(tmp_path, rest), check=False, env=environment(), capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("searched 1.0")
    assert done.stdout.count("searched") == 1  # the main program ran once, not again in each worker


def test_processes_end_with_a_search_that_is_killed(tmp_path):
    rest = """
    import threading
    from effwidgets.search.crews.processes import ProcessCrew
    def show():
        import gc
        while True:
            for crew in [thing for thing in gc.get_objects() if type(thing) is ProcessCrew]:
                if crew.pids:
                    print(*crew.pids, flush=True)
                    return
            time.sleep(0.1)
    threading.Thread(target=show).start()
    study.run()
    time.sleep(100)
    """
    with subprocess.Popen(script(tmp_path, rest), env=environment(), stdout=subprocess.PIPE, text=True) as process:
        pids = [int(word) for word in process.stdout.readline().split()]
        assert pids
        process.kill()
    wait_until(lambda: not any(runs(pid) for pid in pids), "a process outlived the search")
