"""What a training minimises and how its result is measured."""
