"""What a run found: reports in one document, printed, drawn and compared."""
