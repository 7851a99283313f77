"""effwidgets."""
