"""Data sets that are arrays: built in, drawn, or a user's own."""
