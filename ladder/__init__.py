"""Runs the notebooks and writes the report; see `python -m ladder --help`."""

import sys

# nbformat's jsonschema would load a large grammar, for a format that no notebook uses.
sys.modules.setdefault("rfc3987_syntax", None)
