"""What could be done, ranked: every family in one list, each place tried and measured."""
