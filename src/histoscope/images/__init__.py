"""Image files: what they are, where they are, how large a pixel is, and their pixels in RGB."""
