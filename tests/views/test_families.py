from __future__ import annotations

import pytest

from effwidgets.views.families import FAMILIES, family_of, know


def luminance(colour):
    """Relative luminance, WCAG 2.2."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one, other):
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("name", FAMILIES)
def test_each_mark_stands_out_on_a_light_and_on_a_dark_ground(name):
    # WCAG 2.2, 1.4.11: graphics need 3 to 1.
    assert contrast(FAMILIES[name].light, "#ffffff") >= 3
    assert contrast(FAMILIES[name].dark, "#14171c") >= 3


def test_the_three_families_of_the_suggestions_differ_in_shape_and_not_only_in_colour():
    assert len({FAMILIES[name].shape for name in ("factorize", "prune", "bottleneck", "dense")}) == 4


def test_another_package_can_say_the_family_of_its_technique():
    assert family_of("their_method") == "other"
    know("their_method", "prune")
    assert family_of("their_method") == "prune"
