"""The studies behind Q1 to Q7, which `figures/claims.py` lists."""
