"""Verifies the hand derivation against autodiff and certified digits, and judges other implementations alongside."""
