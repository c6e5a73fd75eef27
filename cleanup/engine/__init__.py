"""Lanes, batches, digests and sweeps: how the work is done, with no SQL text in it."""
