"""One module for each format: `check_installed`, `write`, and a `reader` that runs what was written."""
