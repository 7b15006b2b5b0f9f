"""The speed of `manual`, compared with the alternatives: `make bench`."""
