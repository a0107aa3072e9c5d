"""The tables of Silver and Gold, computed a second time: from the source files, in plain Python, by what docs/ says.

Nothing here imports the project's own readers, nor reads what it wrote: only so can a comparison find a fault in them.
Called by tests/integration/test_recomputation.py.
"""
