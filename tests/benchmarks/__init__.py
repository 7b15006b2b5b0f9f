"""How fast `manual` is, beside what people would use instead: `make bench`."""
