"""One transformation, one metric and one view that join effwidgets by entry points."""
