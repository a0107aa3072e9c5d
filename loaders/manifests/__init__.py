"""Manifests: what they may say, how they are judged, and a starter for new ones."""
