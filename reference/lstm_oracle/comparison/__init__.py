"""Compares what candidates return with the truth, and calls with one another."""
