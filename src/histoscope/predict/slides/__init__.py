"""Whole slides: nuclei found part by part, each exactly once."""
