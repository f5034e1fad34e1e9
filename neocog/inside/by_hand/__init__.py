"""Layers worked out by hand, without torch's layers."""
