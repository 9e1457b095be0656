"""Reports of studies, from the run folders alone; nothing here loads torch."""
