"""What holds for all tests."""

from __future__ import annotations

import os

from hypothesis import settings

# No time limit for an example: these machines are shared. In CI the same examples each time, so that a change is not
# refused for what an earlier one did; at a desk new ones, so that they are found.
settings.register_profile("desk", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "desk")
