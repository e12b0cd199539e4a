"""What a job will take on so many ranks, before it runs: bytes, memory, time, and how evenly owners share the work.

``workload`` says what a step holds, ``distinct`` how many distinct ids that makes, ``traffic``, ``memory``, ``timing``
and ``owners`` what follows from it, ``prediction`` puts it together.
"""
