"""A model and what it is called with in, a `Profile` out; the model as it was."""

from effwidgets.profiling.build import on_meta
from effwidgets.profiling.calls import Call, Inputs, as_call, batch_of, run, shapes_of
from effwidgets.profiling.coupling.coupling import groups_of
from effwidgets.profiling.profile import ProfileOptions, parameters_only, profile, profile_shadow
from effwidgets.profiling.shadow import Shadow, make_shadow, share

__all__ = [
    "Call",
    "Inputs",
    "ProfileOptions",
    "Shadow",
    "as_call",
    "batch_of",
    "groups_of",
    "make_shadow",
    "on_meta",
    "parameters_only",
    "profile",
    "profile_shadow",
    "run",
    "shapes_of",
    "share",
]
