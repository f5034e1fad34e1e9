"""Layer, an entry of a layer list, and kinds of it with files of their own; the others: `layer_list`."""
