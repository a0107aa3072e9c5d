"""Broken worlds of `omni simulate --chaos`: what a run makes of them is what their predictions say, no more and no less."""
