"""Metric 3D human hands from RGB-D frames, on a robot or offline."""

__version__ = "0.1.0"
