"""Plans that keep budgets: which options to take together, and series of plans from near-dense to very small."""
