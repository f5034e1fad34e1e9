"""Every published figure of the five chapters as an entry: where it stands, and what is run to see it again.

Ids are those of `docs/experiments.md`.
"""
