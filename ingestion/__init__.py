"""Loads TLC's trip records, unchanged, into the lake and the warehouse.

Publisher → ``lake.land`` → lake → ``warehouse.load`` → raw tables and read views. Everything here
is dlt and plain functions; it knows neither the transformer nor the orchestrator.
"""
