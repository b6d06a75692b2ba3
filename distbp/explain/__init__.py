"""A program shown: the table of its mappings, and its source as a file that runs by itself."""
