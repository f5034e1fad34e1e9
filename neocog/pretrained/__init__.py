"""Public weights: what there is, what a file holds, and how it fits a network."""
