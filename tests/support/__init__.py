"""Real parts for tests: generated TLC files, a publisher on loopback, processes that die on cue."""
