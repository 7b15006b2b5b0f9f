"""Finds out what is wrong: the known mistakes that match the outputs, or else the narrowest location."""
