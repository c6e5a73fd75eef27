"""Reports: one model read from the ledger, and its renderings."""
