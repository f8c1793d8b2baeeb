"""Estimates from H&E slides alone the tumor ratio that Ki-67 staining would show."""

__version__ = "0.1.0"
