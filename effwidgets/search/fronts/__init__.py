"""Points, fronts and what they dominate; the archive of a search."""
