"""Manifest → admission → coverage → dlt pipelines → Bronze."""
