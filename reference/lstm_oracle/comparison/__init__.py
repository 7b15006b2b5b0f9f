"""Compares the outputs of candidates with the truth, and calls of a candidate with one another."""
