"""The lake read where it lies, in each of the stores: nothing is loaded and nothing differs."""
