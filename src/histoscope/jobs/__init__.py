"""Work over a folder that is done once for each file: names, journal, owners of files, failures."""
