"""The preflight: one module for each area, each a few questions to the catalog and a judgement of the answers."""
