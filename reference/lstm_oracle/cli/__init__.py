"""The command `lstm-oracle`."""
