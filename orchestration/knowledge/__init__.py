"""What a copilot asks of the documents: where a passage or a quotation stands, and by what it came."""
