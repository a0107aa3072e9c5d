"""What models of dbt ask of stored contents: their sections, their passages, and whether anchors hold."""
