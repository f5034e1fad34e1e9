"""How training pictures are varied, a batch at a time."""
