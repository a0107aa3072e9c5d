"""What is to be computed, in which steps, and what must wait. Pure, over verdicts."""
