"""From a record to a payload, text, static HTML or a plotly figure; pure functions."""
