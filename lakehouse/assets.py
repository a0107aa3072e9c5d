"""Names of the Bronze assets, which are also those of their tables. Silver and Gold take theirs from dbt."""

TICKET_EVENTS = "raw_ticket_events"
DOC_ASSETS = "raw_doc_assets"
QUARANTINE = "quarantine"
BRONZE_ASSETS = (TICKET_EVENTS, DOC_ASSETS)
