"""One module for each format: bytes in, sections out."""
