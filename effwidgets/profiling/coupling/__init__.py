"""Layers whose channels must change together, and what each channel keeps."""
