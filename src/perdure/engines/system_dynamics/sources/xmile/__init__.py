"""XMILE: the reader and the writer of the OASIS standard's files (.xmile, .stmx, .itmx, .xml)."""
