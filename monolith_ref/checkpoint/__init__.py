"""Checkpoints of tables, filters, dense variables and jobs: the original's files, whole or absent.

* ``container`` (records in files), ``shape`` and ``rows`` (records of rows), ``naming``, ``damage``: the wire.
* ``commit`` and ``manifest``: how a set of files is published; ``tables``, ``filters``, ``dense``: the files in it.
* ``sets`` (a prefix of its own), ``job``, ``job_writer``, ``increment``, ``restore`` (a job of many ranks), ``api``
  (what the public tables call), ``assets`` (rows without a checkpoint).
* ``inspect``, ``verify``, ``findings``, ``summary``, ``diff``, ``convert``: what ``monolith-ref table`` does.
"""
