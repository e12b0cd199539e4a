"""Pickles as inert data: read by an interpreter of our own, written from an allow-list. Rule: model_dump 1.4.

Python's own pickle module is not used anywhere: decoding builds plain values and :class:`Inert` stand-ins, imports
nothing and calls nothing.
"""

from monolith_ref.model_dump.pickles.opcodes import Operation, assemble, disassemble
from monolith_ref.model_dump.pickles.reader import Inert, Unpickled, is_optimizer, is_parameter_class, read_pickle
from monolith_ref.model_dump.pickles.writer import write_pickle

__all__ = [
    "Inert",
    "Operation",
    "Unpickled",
    "assemble",
    "disassemble",
    "is_optimizer",
    "is_parameter_class",
    "read_pickle",
    "write_pickle",
]
