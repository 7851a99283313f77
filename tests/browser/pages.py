"""Code that the browser tests type into notebooks, and what they read on the page."""

from __future__ import annotations

from playwright.sync_api import Locator, Page

SMALL_CNN = """import torch
from torch import nn
torch.manual_seed(0)
class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
    def forward(self, x):
        return torch.relu(x + self.conv2(torch.relu(self.conv1(x))))
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 3, padding=1)
        self.body = nn.Sequential(Block(32), Block(32))
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(32 * 64, 64), nn.ReLU(), nn.Linear(64, 10))
    def forward(self, x):
        return self.head(self.body(torch.relu(self.stem(x))))
model = Net().eval()
x = torch.randn(8, 3, 8, 8)
"""


_REDRAWN = 20
"""How often a mark may be drawn anew while it is looked for: one that was has no size any more."""


def live(within: Locator, view: str) -> Locator:
    """The live view of one kind."""
    return within.locator(f".effdl-view[data-view={view}]")


def middle(mark: Locator) -> tuple[float, float]:
    """Where the middle of an element is on the page, in sight; of the new one where a running search draws it anew."""
    for _ in range(_REDRAWN):
        left, top, width, height = mark.evaluate(
            """node => {
                node.scrollIntoView({ block: "nearest", inline: "nearest" });
                const box = node.getBoundingClientRect();
                return [box.left, box.top, box.width, box.height];
            }"""
        )
        if width or height:
            return left + width / 2, top + height / 2
    raise AssertionError("it is not to be seen")


def on_top(view: Locator, numbers: list[int]) -> list[int]:
    """Those candidates whose mark is what the pointer meets in its middle; others lie under a neighbour."""
    free: list[int] = []
    for number in numbers:
        mark = view.locator(f"svg [data-number='{number}']").first
        x, y = middle(mark)
        if mark.evaluate("(node, [x, y]) => node.contains(document.elementFromPoint(x, y))", [x, y]):
            free.append(number)
    return free


def marks(page: Page, state: str = "done") -> list[int]:
    """Numbers of the candidates drawn as marks, as the page has them now."""
    found: list[int] = page.locator(f".effdl-view svg [data-number][data-state={state}]").evaluate_all(
        "nodes => nodes.map(node => Number(node.dataset.number))"
    )
    return sorted(found)
