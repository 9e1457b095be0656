"""Initial weights and splits of studies of patches, which `histoscope.studies.patches` runs."""
