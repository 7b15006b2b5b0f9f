"""The verdict as data, and as people read it: text, HTML, badges, saved runs."""
