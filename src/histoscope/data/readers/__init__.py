"""Readers of data sets, one file a data set, and the folder layout of one's own."""
