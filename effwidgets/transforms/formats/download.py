"""What an edited model takes as a download: coded where a format says so, as it is everywhere else."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod

from effwidgets.records import Edit, Profile
from effwidgets.transforms.dtypes import bytes_each

__all__ = ["download_bytes"]


def download_bytes(profile: Profile, edits: Iterable[Edit]) -> int:
    """Return the bytes of a model as a download: ``download_bytes(applied.profile, applied.edits)``.

    All parameters and buffers; the weights that `unstructured` or `codebook` made under their codes.
    Codes are run lengths and Huffman's, measured on the values that each edit left; what came to a layer later, such as
    a repair or training, is not looked at. Biases and everything else count as they are.

    Args:
        profile: of the model after the edits.
        edits: what was done, in order; of several at one layer the last one counts.

    >>> import torch
    >>> from effwidgets import apply
    >>> from effwidgets.transforms.formats import sparsity_plan
    >>> model = torch.nn.Sequential(torch.nn.Linear(100, 100))
    >>> applied = apply(model, sparsity_plan(model, torch.ones(1, 100), 0.95), torch.ones(1, 100))
    >>> applied.profile.cost.param_bytes, download_bytes(applied.profile, applied.edits) < 3300
    (40400, True)
    """
    coded = {edit.step.layers[0]: dict(edit.measured).get("download_bytes") for edit in edits if edit.step.layers}
    standing = {layer.name: layer for layer in profile.layers}
    total = profile.cost.param_bytes
    for name, size in coded.items():
        if isinstance(size, int) and name in standing:
            held = [tensor for tensor in standing[name].tensors if tensor.name != "bias"]
            total += size - sum(prod(tensor.shape) * bytes_each(tensor.dtype) for tensor in held)
    return total
