"""Folders of pictures: walked, understood, listed, decoded once."""
