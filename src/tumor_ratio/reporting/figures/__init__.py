"""Figures of the comparison: tables in, figures out, nothing is computed that a table lacks."""
