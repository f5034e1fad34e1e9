"""One verb, one file, one function, one command."""
