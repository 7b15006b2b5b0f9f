"""Certified truth in ball arithmetic: power series of the loss, and the derivation held against them."""
