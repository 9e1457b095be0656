"""Outlines drawn on slides by people or programs, and labelled images cut out along them."""
