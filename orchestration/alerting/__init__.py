"""Alerts when something is wrong with a nightly run."""
