"""How pictures come in: the one decoder, Preprocess, archives, and reading what a user names."""
