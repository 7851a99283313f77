"""Who does the work of a search: threads, processes, machines."""
