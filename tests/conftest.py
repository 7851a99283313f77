"""What holds for all tests."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

from hypothesis import settings

# What is measured in tests stays out of the user's own cache; processes that tests start inherit it.
if "EFFWIDGETS_CACHE" not in os.environ:
    os.environ["EFFWIDGETS_CACHE"] = tempfile.mkdtemp(prefix="effwidgets-tests-")
    atexit.register(shutil.rmtree, os.environ["EFFWIDGETS_CACHE"], ignore_errors=True)

# No time limit for an example: these machines are shared. In CI the same examples each time, so that a change is not
# refused for what an earlier one did; at a desk new ones, so that they are found.
settings.register_profile("desk", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "desk")
