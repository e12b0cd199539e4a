"""Replay of golden vectors: files of cases that say what the original returned for given inputs.

A file kind has a *replayer* (:mod:`.registry`); :func:`.run.replay_directory` finds the one for every file, runs all
cases on a leg (the engine on CPU or CUDA, or the oracle) in a profile, and gives one outcome per case.
"""
