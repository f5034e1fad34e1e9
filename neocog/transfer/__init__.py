"""Borrowed eyes: a network that begins with what another has learned to see."""
