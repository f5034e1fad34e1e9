"""A run, or a network measured, as one HTML page."""
