"""Judges candidates on drawn runs, and judges recorded runs."""
