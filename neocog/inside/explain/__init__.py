"""What a network looks at and why: one file for each method, and the table of them."""
