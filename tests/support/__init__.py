"""Real parts for tests: generated TLC files, a publisher on loopback, processes to be killed."""
