"""An approach that a package of its own brings: a ridge on mean colours of patches."""
