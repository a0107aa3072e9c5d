"""Commands that stand under a word of their own, such as `omni quarantine list`: a file for each word."""
