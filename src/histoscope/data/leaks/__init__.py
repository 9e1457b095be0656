"""Leakage: the same tissue in two parts, found by pixels; groups that keep it in one part."""
