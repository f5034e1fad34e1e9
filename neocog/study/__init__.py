"""Verbs made of verbs."""
