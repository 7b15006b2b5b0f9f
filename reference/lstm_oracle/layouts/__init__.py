"""Finds the layout of the weights in a recorded run."""
