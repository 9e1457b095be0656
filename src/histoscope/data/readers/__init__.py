"""Readers of published data sets, one file each, and of your own folders."""
