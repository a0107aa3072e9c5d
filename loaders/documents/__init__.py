"""Stored bytes to the sections of a document, each block with an anchor that resolves to its text; no I/O but the bytes."""
