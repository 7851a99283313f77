"""What autograd keeps in and around a module, against bytes worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from effwidgets.profiling.profile import ProfileOptions, profile
from effwidgets.records import Profile, Seam

ONE = 2 * 4 * 6 * 6 * 4  # bytes of a picture of four channels of 6 x 6, two of them


class _Inner(nn.Module):
    def __init__(self, *, rectified: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.again = nn.Conv2d(4, 4, 3, padding=1)
        self.rectified = rectified

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        made = self.again(torch.relu(self.conv(x)))
        return torch.relu(made) if self.rectified else made


class _Outer(nn.Module):
    # The stem is a convolution without a ReLU, so that what it returns is kept by those alone that read it.
    def __init__(self, *, rectified: bool, read_twice: bool) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 1)
        self.inner = _Inner(rectified=rectified)
        self.last = nn.Conv2d(4, 4, 1)
        self.beside = nn.Conv2d(4, 4, 1)
        self.read_twice = read_twice

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        made = self.last(self.inner(x))
        return made + self.beside(x) if self.read_twice else made


def _seam(model: nn.Module, layer: str = "inner") -> Seam:
    found = {seam.layer: seam for seam in profile(model.eval(), torch.zeros(2, 3, 6, 6)).seams}
    return found[layer]


def test_a_module_that_alone_reads_its_input_keeps_it_alone() -> None:
    seam = _seam(_Outer(rectified=False, read_twice=False))
    # Inside: the input, and what the ReLU returns. The convolution behind keeps the output.
    assert (seam.inside_bytes, seam.whole_bytes) == (2 * ONE, 2 * ONE)
    assert (seam.input_bytes, seam.output_bytes) == (ONE, 0)
    assert (seam.keeps_input, seam.keeps_output) == (True, False)


def test_what_others_keep_too_is_not_kept_by_the_module_alone() -> None:
    seam = _seam(_Outer(rectified=False, read_twice=True))
    assert (seam.inside_bytes, seam.whole_bytes) == (ONE, 2 * ONE)  # it reads the input first, and it counts there
    assert seam.input_bytes == 0


def test_a_relu_at_the_end_keeps_the_output() -> None:
    seam = _seam(_Outer(rectified=True, read_twice=False))
    assert seam.keeps_output
    assert (seam.inside_bytes, seam.whole_bytes) == (2 * ONE, 3 * ONE)  # the output counts here and is kept behind too


def test_an_output_that_nobody_keeps_would_be_new() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), _Inner(rectified=False))
    assert _seam(model, "1").output_bytes == ONE


def test_the_input_of_the_model_never_counts() -> None:
    model = nn.Sequential(nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU()), nn.Conv2d(4, 4, 1))
    seam = _seam(model, "0")
    assert (seam.input_bytes, seam.keeps_input) == (0, True)
    assert seam.inside_bytes == 0  # the convolution behind keeps what the ReLU returned too


def test_a_module_that_hands_its_input_on_has_no_seam() -> None:
    class Hands(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.act = nn.ReLU(inplace=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.act(x)

    model = nn.Sequential(nn.Conv2d(3, 4, 1), Hands(), nn.Conv2d(4, 4, 1)).eval()
    assert all(seam.layer != "1" for seam in profile(model, torch.zeros(2, 3, 6, 6)).seams)


def test_seams_survive_json() -> None:
    found = profile(_Outer(rectified=True, read_twice=True).eval(), torch.zeros(2, 3, 6, 6))
    assert found.seams
    assert Profile.from_dict(found.to_dict()).seams == found.seams


def test_a_profile_without_groups_looks_between_modules_only_where_it_is_asked_to() -> None:
    model, x = _Outer(rectified=False, read_twice=False).eval(), torch.zeros(2, 3, 6, 6)
    whole = profile(model, x)
    plain = profile(model, x, options=ProfileOptions(groups=False))
    asked = profile(model, x, options=ProfileOptions(groups=False, seams=True))
    assert (plain.seams, plain.spans, plain.handed) == ((), (), ())
    assert whole.seams
    assert (asked.seams, asked.handed) == (whole.seams, whole.handed)
    # What is carried is told by groups; all else of a span is not.
    assert [replace(span, carried=()) for span in whole.spans] == list(asked.spans)
    assert plain.layers == asked.layers == whole.layers
