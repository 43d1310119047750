"""Runs the notebooks and writes the report; see `python -m ladder --help`."""
