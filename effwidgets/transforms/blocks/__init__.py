"""Small blocks of known designs in the place of a model's own, fitted to what these take and return."""

from effwidgets.transforms.blocks.design import Design, Ops
from effwidgets.transforms.blocks.replacement import ENDINGS, BlockReplacement
from effwidgets.transforms.blocks.spots import Spot, Spots

__all__ = ["ENDINGS", "BlockReplacement", "Design", "Ops", "Spot", "Spots"]
