"""A deterministic support desk and its documents; `sample.simulate` writes them as a manifest folder."""
