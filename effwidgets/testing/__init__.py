"""Models that know their own cost, and the contract suites that every plug-in can run."""
