"""Patch classification: batches, features, linear probes, baselines, calibration, scores."""
