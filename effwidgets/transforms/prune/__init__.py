"""Channels and heads removed: criteria, widths, what a profile says afterwards."""
