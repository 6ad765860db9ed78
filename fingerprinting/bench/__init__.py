"""Measuring error rates on a zoo: models whose descent is known."""
