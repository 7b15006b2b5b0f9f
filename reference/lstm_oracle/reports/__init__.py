"""The verdict as data, text, HTML and badge, and the failing run to save."""
