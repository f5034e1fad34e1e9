"""Verbs made of verbs: each a file, a function and a command like those of `neocog/verbs`."""
