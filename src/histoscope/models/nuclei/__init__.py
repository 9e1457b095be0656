"""Networks that find nuclei: regions with a watershed, and StarDist."""
