"""Ownership claims: committed to before the probes are known, asked beside honest models, recomputed by anybody."""
