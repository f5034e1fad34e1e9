"""python -m neocog."""

from neocog.cli import main

main()
