"""Stored bytes become the sections of a document, each block with an anchor that resolves to its text."""
