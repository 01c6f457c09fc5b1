"""Definition documents: reading with positions, field declarations, what the rest of the folder says."""
