"""What runs in a worker process of a search: it takes orders from its parent until the parent is gone."""

from __future__ import annotations

import os
import queue
import random
import sys
import threading

from effwidgets.search.crews.crew import Maker, answered
from effwidgets.search.crews.kit import Kit
from effwidgets.search.crews.wire import Reply, Request, Wire
from effwidgets.search.engine.gate import Gate
from effwidgets.search.engine.orders import Order

__all__ = ["PROGRAM", "seeded", "serve"]

PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(open(0, 'rb', 0, closefd=False).readline()); "
    "from effwidgets.search.crews.serve import serve; serve(int(sys.argv[1]))"
)
"""Started with ``python -c``. The main program of the parent is not run again, as other pools do: a script needs no
guard around its start, and a notebook is fine. The first line is read without a buffer, which would read ahead."""


def seeded(seed: int) -> None:
    """Set the random state of the whole process: torch's, numpy's, Python's. Only for a process of our own."""
    import numpy as np
    import torch

    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002  for functions of the user's that draw from it
    random.seed(seed)


def serve(threads: int) -> None:
    """Take orders from the standard input and answer on the standard output, until the input ends.

    What the user's functions print goes where errors go, and they read an empty input.
    """
    import torch

    torch.set_num_threads(threads)
    requests, replies = _streams()
    desk = _Desk()
    threading.Thread(target=desk.listen, args=(requests,), daemon=True).start()
    maker: Maker | None = None
    while True:
        request = desk.todo.get()
        try:
            if request[0] == "kit":
                maker = Kit.unpack(request[1])
                replies.send(("ready", ""))
            elif request[0] == "order" and maker is not None:
                replies.send(_answer(maker, request[1], desk, replies))
        except OSError:  # the parent is gone
            os._exit(0)
        except Exception as error:  # noqa: BLE001  building runs the user's code: the model, its data
            replies.send(("broken", _said(error)))


def _answer(maker: Maker, order: Order, desk: _Desk, replies: Wire) -> Reply:
    gate = desk.gate_of(order.number, replies)
    replies.send(("begun", ""))
    seeded(order.seed)
    try:
        return ("made", answered(maker, order, gate))
    finally:
        desk.over(order.number)


def _said(error: Exception) -> str:
    from effwidgets.errors import EffError

    return str(error) if isinstance(error, EffError) else f"{type(error).__name__}: {error}"


def _streams() -> tuple[Wire, Wire]:
    requests, replies = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115  the old one has read ahead
    return Wire(os.fdopen(requests, "rb")), Wire(os.fdopen(replies, "wb"))


class _Desk:
    """What the listening thread and the working one share."""

    def __init__(self) -> None:
        self.todo: queue.SimpleQueue[Request] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._gates: dict[int, Gate] = {}
        self._stopped: set[int] = set()

    def listen(self, requests: Wire) -> None:
        """Pass on what is to be done; stop an order at once; end with the parent."""
        while (request := requests.receive()) is not None:
            if request[0] == "cancel":
                with self._lock:
                    self._stopped.add(request[1])
                    if request[1] in self._gates:
                        self._gates[request[1]].cancel()
            elif request[0] == "order":
                with self._lock:
                    self._stopped.discard(request[1].number)  # of an earlier try, which had ended when that came
                self.todo.put(request)
            elif request[0] == "kit":
                self.todo.put(request)
        os._exit(0)

    def gate_of(self, number: int, replies: Wire) -> Gate:
        """Return the gate of an order that begins."""
        gate = Gate(lambda seconds: replies.send(("limit", seconds)))
        with self._lock:
            self._gates[number] = gate
            if number in self._stopped:
                gate.cancel()
        return gate

    def over(self, number: int) -> None:
        """Forget an order."""
        with self._lock:
            self._gates.pop(number, None)
            self._stopped.discard(number)
