"""The blocks of a run by autodiff, and the tolerance for rounding errors in them."""
