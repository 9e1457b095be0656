"""The learned generator of tissue: its bank of nuclei, network, training, and how real its images are."""
