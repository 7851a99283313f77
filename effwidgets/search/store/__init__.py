"""Where a search is kept: in memory, in a folder, in a database."""
