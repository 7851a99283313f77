"""Training of a candidate, with the dense model as its teacher."""
