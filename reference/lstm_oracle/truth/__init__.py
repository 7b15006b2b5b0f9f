"""What autodiff says of a run, and the tolerance for rounding errors in it."""
