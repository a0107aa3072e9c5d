"""Rows that date themselves: read, dated, counted, typed and judged, staged by day."""
