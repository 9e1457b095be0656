"""Leakage: the same tissue in two parts, found from pixels; groups that keep it in one part."""
