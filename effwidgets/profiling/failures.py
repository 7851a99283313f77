"""What happens when a forward cannot run: a message that names the layer, and a stand-in with real numbers."""

from __future__ import annotations

import copy
import logging
import random
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from effwidgets.errors import ModelError
from effwidgets.profiling.calls import Call, shapes_of, tensors_in
from effwidgets.profiling.dice import Dice
from effwidgets.profiling.recorder import Recorder
from effwidgets.profiling.shadow import copy_call, copy_tree
from effwidgets.records import Shape
from effwidgets.units import shape_text

__all__ = ["is_empty", "model_error", "others_may_draw", "python_random_kept", "quiet", "real_copy", "real_stand_in"]


_OF_DTYPES = ("dtype", "datatype", "scalar type", "input type")


def model_error(recorder: Recorder, call: Call, error: Exception) -> ModelError:
    """Return the error to raise when a forward raised ``error`` while ``recorder`` was watching."""
    failed = recorder.failed(error)
    module = recorder.module_of(failed)
    where = f"in layer {failed.name!r}" if failed.name else "in its own forward"
    own = "" if list(module.children()) else f"({module.extra_repr()})"
    whole = _shapes(shapes_of(call))
    text = str(error).strip().partition("\n")[0] or "no message"
    return ModelError(
        f"{recorder.root.kind} failed {where}: {failed.kind}{own} was called with {_shapes(failed.inputs or ())} and "
        f"raised {type(error).__name__}: {text[:300]}. The model was called with {whole}. {_advice(module, call, text)}"
    )


def _shapes(shapes: tuple[Shape, ...]) -> str:
    return ", ".join(map(shape_text, shapes)) or "no tensors"


def _advice(module: nn.Module, call: Call, text: str) -> str:  # noqa: PLR0911  one return for each kind of layer
    held = next((tensor.dtype for tensor in module.parameters() if tensor.is_floating_point()), None)
    came = {tensor.dtype for tensor in tensors_in(call)} - {held}
    if held is not None and came and any(word in text.lower() for word in _OF_DTYPES):
        dtypes = ", ".join(sorted(str(dtype).removeprefix("torch.") for dtype in came))
        return f"This layer's numbers are {held} and the model was called with {dtypes}: check the input's dtype."
    if isinstance(module, nn.Linear):
        return f"This layer takes {module.in_features} features in the last place of the shape: check the input's size."
    if isinstance(module, nn.modules.conv._ConvNd):
        places = len(module.kernel_size)
        return (
            f"This layer takes (batch, {module.in_channels} channels, {places} spatial size{'s' * (places > 1)}): "
            "check the input's shape."
        )
    if isinstance(module, nn.modules.batchnorm._BatchNorm | nn.modules.instancenorm._InstanceNorm):
        return f"This layer takes (batch, {module.num_features} channels, ...): check the input's shape."
    if isinstance(module, nn.Embedding | nn.EmbeddingBag) and "range" in text:
        return (
            f"This layer takes whole numbers from 0 to {module.num_embeddings - 1}: look for a word outside of the "
            "vocabulary, or a sequence longer than the table of positions."
        )
    if isinstance(module, nn.Embedding):
        return f"This layer takes whole numbers from 0 to {module.num_embeddings - 1} (int64): check the input's dtype."
    return "Call the model with the same inputs yourself; once that runs, so does the profile."


@contextmanager
def real_stand_in(model: nn.Module, call: Call) -> Iterator[tuple[nn.Module, Call]]:
    """Give a full copy of the model and its inputs to run with real numbers; random states are as before afterwards."""
    with torch.inference_mode(mode=False):
        twin = real_copy(model)
        given = copy_call(call, lambda tensor: tensor.detach().clone().requires_grad_(tensor.requires_grad))
    with _own_random(model):
        yield twin, given


@contextmanager
def _own_random(model: nn.Module) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        with Dice():  # the states belong to the whole process: putting them back would disturb who draws meanwhile
            yield
        return
    devices = sorted({tensor.device.index or 0 for tensor in model.parameters() if tensor.is_cuda})
    with python_random_kept(), torch.random.fork_rng(devices=devices):
        yield


@contextmanager
def python_random_kept() -> Iterator[None]:
    """Give the numbers back that a forward took from Python's and numpy's generators, where nobody else draws.

    So every forward draws the same ones, and two passes over a model that throws dice go the same way.
    """
    if others_may_draw():
        yield
        return
    numpy = sys.modules.get("numpy")  # a forward can draw from it only where it is loaded
    state, other = random.getstate(), numpy and numpy.random.get_state()
    try:
        yield
    finally:
        random.setstate(state)
        if numpy:
            numpy.random.set_state(other)


# Threads of a notebook's kernel draw no numbers that a training would miss; ours draw from generators of their own.
_SERVING = (
    *("effwidgets.", "ipykernel", "IPython", "zmq", "tornado", "traitlets", "asyncio", "debugpy", "_pydevd"),
    *("jupyter", "tqdm", "execnet", "distributed", "dask"),
)


def others_may_draw() -> bool:
    """Say whether another thread may draw from the generators that belong to the whole process.

    Who saves their states and puts them back takes from such a thread what it drew meanwhile: a training loop beside
    a profile would draw the same numbers twice.
    """
    if threading.current_thread() is not threading.main_thread():
        return True
    return any(thread is not threading.main_thread() and not _serves(thread) for thread in threading.enumerate())


def _serves(thread: threading.Thread) -> bool:
    if isinstance(thread, threading._DummyThread):  # begun outside of Python's own door: by a library
        return True
    target = getattr(thread, "_target", None)
    makers = (type(thread).__module__, getattr(target, "__module__", None) or "")
    return any(maker.startswith(_SERVING) for maker in makers)


def real_copy(model: nn.Module) -> nn.Module:
    """Return a full copy of ``model``; unlike `copy.deepcopy` also of one that keeps an activation with its history.

    Raises:
        InputError: it holds something that cannot be copied; the message names the attribute.
    """
    return copy_tree(model, _real_copy)


def _real_copy(tensor: torch.Tensor) -> torch.Tensor:
    if tensor.is_leaf and not tensor.is_inference() and tensor.layout is torch.strided:
        return copy.deepcopy(tensor)
    twin = tensor.detach().clone()
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(twin, requires_grad=tensor.requires_grad)
    return twin.requires_grad_(tensor.requires_grad)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep torch's fake tensors from logging what they raise, on this thread: whoever catches it says it better."""
    logger = logging.getLogger("torch._subclasses.fake_tensor")
    own = threading.get_ident()

    def elsewhere(record: logging.LogRecord) -> bool:
        return record.thread != own

    logger.addFilter(elsewhere)
    try:
        yield
    finally:
        logger.removeFilter(elsewhere)


def is_empty(model: nn.Module, call: Call) -> bool:
    """Say whether something here stands on meta and so has no numbers to run with."""
    return any(tensor.is_meta for tensor in (*model.parameters(), *model.buffers(), *tensors_in(call)))
