"""Spark: the warehouse is tables of a cluster; raw rows stay in the lake, and are read in place."""
