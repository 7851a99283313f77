"""How long a forward takes, measured: the whole model, and its layers alone."""
