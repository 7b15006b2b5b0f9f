"""Diagnoses wrong outputs: finds the known mistakes that match them, or else locates the error."""
