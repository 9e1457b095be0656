"""Readers of data sets, one file each, and of one's own folders."""
