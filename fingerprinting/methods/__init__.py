"""How to turn answers into a signature and compare two: one file per method (see `agreement.py`)."""
