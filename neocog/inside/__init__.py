"""Seeing inside a network: capture, the shape doctor, drawings."""
