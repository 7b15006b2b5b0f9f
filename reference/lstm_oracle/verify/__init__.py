"""Verifies the hand derivation: by autodiff, by certified digits, and beside other implementations."""
