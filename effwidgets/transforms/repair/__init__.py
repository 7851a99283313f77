"""Bring a model back after edits without labels and without training."""
