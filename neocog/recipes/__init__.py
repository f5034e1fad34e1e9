"""What is asked for: Recipe, the chapters' recipes, the one for a user's own pictures."""
