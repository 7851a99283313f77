"""A transformation, two metrics and a view in two media that join effwidgets by entry points."""
