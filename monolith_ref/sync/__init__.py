"""Ranks: communicators, exchanges of ids, rows and gradients, reductions, and how a job ends."""
