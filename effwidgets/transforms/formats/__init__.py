"""The numbers of a layer in another format: zeros, fewer bits, indices into a codebook. Shapes and MACs stay."""

from effwidgets.transforms.formats.allocation import ALLOCATIONS, sparsity_plan
from effwidgets.transforms.formats.bf16 import BF16, Bf16
from effwidgets.transforms.formats.codebook import CODEBOOK, Codebook
from effwidgets.transforms.formats.download import download_bytes
from effwidgets.transforms.formats.int8 import INT8, Int8
from effwidgets.transforms.formats.two_four import TWO_FOUR, TwoFour
from effwidgets.transforms.formats.unstructured import UNSTRUCTURED, Unstructured

__all__ = [
    "ALLOCATIONS",
    "BF16",
    "CODEBOOK",
    "INT8",
    "TWO_FOUR",
    "UNSTRUCTURED",
    "Bf16",
    "Codebook",
    "Int8",
    "TwoFour",
    "Unstructured",
    "download_bytes",
    "sparsity_plan",
]
