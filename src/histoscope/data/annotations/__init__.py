"""Outlines that people or programs drew on slides, and labelled images cut out along them."""
