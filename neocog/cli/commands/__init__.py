"""One file for each verb on the command line: what it is for, an example, its options in their order."""
