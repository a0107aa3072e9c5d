"""Listings dated by their batch: described, stored, staged, and guarded against mass deletion."""
