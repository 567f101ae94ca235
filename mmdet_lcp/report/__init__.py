"""What a run did to a detector: report, pages, tables and pictures."""
