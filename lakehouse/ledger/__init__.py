"""The record: what was admitted, covered, materialized and checked."""
