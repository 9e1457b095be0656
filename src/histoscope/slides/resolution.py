"""Micrometres per pixel of files that are predicted: see `histoscope.images.resolution`."""

from histoscope.images.resolution import LEAST_MPP, MOST_MPP, check_mpp, mpp_of

__all__ = ["LEAST_MPP", "MOST_MPP", "check_mpp", "mpp_of"]
