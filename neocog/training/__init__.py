"""How a network is trained: the loop, and those who watch it."""
