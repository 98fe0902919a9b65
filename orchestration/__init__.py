"""Sequences the stages. Holds no logic about trips or files."""
