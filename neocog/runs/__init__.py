"""Runs: the folder of a training, what is in it, and who may write there."""
