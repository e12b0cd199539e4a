"""Mutants of the rules: one token changed, and the deviations of a real port. Each must fail a golden vector.

``python -m tests.mutants`` prints a table and exits 1 where a mutant survives.
"""
