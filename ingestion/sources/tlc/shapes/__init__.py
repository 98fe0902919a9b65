"""Reads the shapes of TLC's zones out of the shapefile, in a separate process."""
