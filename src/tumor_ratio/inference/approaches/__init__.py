"""How approaches other than networks answer the regions of a new slide."""
