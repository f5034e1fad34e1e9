"""The NumPy mirror: the layer list's networks forward and backward, written to be read, without torch."""
