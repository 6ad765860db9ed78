"""Data shipped with the wheel: licence tables, suites and demo references."""
