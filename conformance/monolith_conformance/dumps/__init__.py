"""Replay of dump files, recorder scenarios and damaged files: ``monolith-ref conform dumps``."""
