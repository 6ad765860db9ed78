"""The command line, one file per command; `cli` finds them by name."""
