"""Keras' files and names."""
