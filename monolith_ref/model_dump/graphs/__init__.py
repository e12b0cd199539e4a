"""Graphs of a dump: index, slices, functions, variables. Nothing here changes the graph that it is given."""

from monolith_ref.model_dump.graphs.index import GraphIndex, parse_graph
from monolith_ref.model_dump.graphs.original import OriginalSlice, OriginalSlicer
from monolith_ref.model_dump.graphs.references import Reference, base_name, parse_reference
from monolith_ref.model_dump.graphs.slicing import ExternalInput, GraphSlice, Slicer, as_graph_def
from monolith_ref.model_dump.graphs.variables import Variable, dtype_name, save_slice_info, shape_sizes

__all__ = [
    "ExternalInput",
    "GraphIndex",
    "GraphSlice",
    "OriginalSlice",
    "OriginalSlicer",
    "Reference",
    "Slicer",
    "Variable",
    "as_graph_def",
    "base_name",
    "dtype_name",
    "parse_graph",
    "parse_reference",
    "save_slice_info",
    "shape_sizes",
]
