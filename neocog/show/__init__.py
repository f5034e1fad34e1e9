"""How results look: words, letters in pictures, grids, charts, HTML."""
