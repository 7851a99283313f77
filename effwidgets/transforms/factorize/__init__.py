"""Layers as products of smaller ones: low rank, spatial, Tucker-2, CP, bottlenecks; and the rules for their ranks."""
