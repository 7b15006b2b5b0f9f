"""Judges candidates on drawn runs, and recorded runs."""
