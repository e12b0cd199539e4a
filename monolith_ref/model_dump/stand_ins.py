"""What a recorder sees of a graph: tensors, graphs, export contexts, all without values. Rule: model_dump 7.1."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from monolith_protos import graph_pb2, model_dump_pb2

from monolith_ref.errors import DumpError

__all__ = [
    "DISTRIBUTED",
    "MODES",
    "NONE",
    "STANDALONE",
    "ExportContext",
    "Graph",
    "Ragged",
    "Receiver",
    "SignatureRecord",
    "Tensor",
]

NONE, STANDALONE, DISTRIBUTED = 0, 1, 2
MODES = {"NONE": NONE, "STANDALONE": STANDALONE, "DISTRIBUTED": DISTRIBUTED}
"""Export modes by name."""


@dataclass(frozen=True)
class Tensor:
    """A tensor by name.

    Parameters
    ----------
    name : str
        ``<node>:<port>``; the port is always written.
    dtype : str
        TensorFlow's name: ``float32``, ``int64``, ``string``, ``variant`` ...
    shape : tuple of (int or None), or None
        None for an unknown size, or for an unknown rank.
    """

    name: str
    dtype: str = "float32"
    shape: tuple[int | None, ...] | None = (None,)

    def __post_init__(self) -> None:
        node, colon, port = self.name.rpartition(":")
        if not colon or not node or not port.isascii() or not port.isdigit():
            raise DumpError(f"a tensor is named <node>:<port>, not {self.name!r}", kind="bad_ref")
        if self.shape is not None and not isinstance(self.shape, tuple):
            object.__setattr__(self, "shape", tuple(self.shape))

    @property
    def node(self) -> str:
        """Name of the node that gives the tensor."""
        return self.name.rpartition(":")[0]

    @property
    def port(self) -> int:
        """Which output of the node it is, from 0."""
        return int(self.name.rpartition(":")[2])


@dataclass(frozen=True)
class Ragged:
    """A ragged tensor: the ids of all rows and where each row begins."""

    values: Tensor
    row_splits: Tensor


@dataclass(frozen=True)
class Receiver:
    """Inputs of an exported model, as ``serving_input_receiver_fn`` returns them."""

    features: Mapping[str, Tensor | Ragged]
    receiver_tensors: Mapping[str, Tensor] | Tensor


@dataclass(eq=False)
class Graph:
    """An ordinary object in place of a TensorFlow graph, with what the recorder reads of it.

    Attributes
    ----------
    graph_def : GraphDef or None
        The nodes. None: the recorder makes a ``Placeholder`` per recorded tensor, an ``IdentityN`` where ports above 0
        occur.
    dry_run : bool
        Nothing is recorded in this graph.
    losses, summaries, item_pools : list
        Extra losses and item pools (tensors); summaries (tensors or op names).
    export_outputs : dict
        Signature name -> {key: tensor} or a bare tensor.
    training_hooks : list
        Objects of any class; only an ``ItemPoolSaveRestoreHook`` may be among them.
    initializers : list
        Collection ``mkiter`` of the original: what initialises the input iterator.
    save_slice_info : dict
        Node name of a variable -> serialised ``SaveSliceInfoDef``.
    record : ProtoModel
        What has been recorded in this graph so far.
    """

    graph_def: graph_pb2.GraphDef | None = None
    dry_run: bool = False
    losses: list[Tensor] = field(default_factory=list)
    export_outputs: dict[str, Any] = field(default_factory=dict)
    training_hooks: list[Any] = field(default_factory=list)
    summaries: list[Any] = field(default_factory=list)
    item_pools: list[Tensor] = field(default_factory=list)
    initializers: list[Any] = field(default_factory=list)
    save_slice_info: dict[str, bytes] = field(default_factory=dict)
    record: model_dump_pb2.ProtoModel = field(default_factory=model_dump_pb2.ProtoModel)
    placeholders: dict[str, list[Tensor]] = field(default_factory=dict, repr=False)
    given: set[str] = field(default_factory=set, repr=False)
    helper: Any = field(default=None, repr=False)

    def __setattr__(self, name: str, value: Any) -> None:
        # Which attributes were set from outside: the original asks whether ``dry_run`` is there, not for its value.
        if "given" in self.__dict__:
            self.given.add(name)
        object.__setattr__(self, name, value)

    def __post_init__(self) -> None:
        self.given = {"dry_run"} if self.dry_run else set()

    def placeholder(self, name: str, dtype: str = "float32", shape: Iterable[int | None] | None = (None,)) -> Tensor:
        """A tensor of this graph; its node is made when the graph is asked for. ``name`` may lack the port."""
        full = name if ":" in name else f"{name}:0"
        tensor = Tensor(full, dtype, None if shape is None else tuple(shape))
        self.note(tensor)
        return tensor

    def note(self, *tensors: Tensor | Ragged | None) -> None:
        """Remember tensors whose nodes this graph must have."""
        for tensor in tensors:
            if isinstance(tensor, Ragged):
                self.note(tensor.values, tensor.row_splits)
            elif isinstance(tensor, Tensor):
                known = self.placeholders.setdefault(tensor.node, [])
                if all(other.port != tensor.port for other in known):
                    known.append(tensor)


@dataclass
class SignatureRecord:
    """One signature of an exported graph: names of keys to tensors."""

    name: str
    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]


class ExportContext:
    """Graphs and signatures of one export; graphs of sub-models are made when first asked for."""

    def __init__(self) -> None:
        self._signatures: dict[int, dict[str, SignatureRecord]] = {}
        self._graphs: list[Graph] = []
        self.sub_graphs: dict[str, Graph] = {}
        self.dense_sub_graphs: dict[str, Graph] = {}

    def signatures(self, graph: Graph) -> Sequence[SignatureRecord]:
        """Signatures of ``graph`` in the order in which they were added."""
        return list(self._signatures.get(id(graph), {}).values())

    def add_signature(
        self, graph: Graph, name: str, inputs: Mapping[str, Tensor], outputs: Mapping[str, Tensor]
    ) -> None:
        """Add a signature, or replace the one of that name."""
        self._of(graph)[name] = SignatureRecord(name, dict(inputs), dict(outputs))
        for tensor in (*inputs.values(), *outputs.values()):
            graph.note(tensor)

    def merge_signature(
        self, graph: Graph, name: str, inputs: Mapping[str, Tensor], outputs: Mapping[str, Tensor]
    ) -> None:
        """Add a signature, or put more keys into the one of that name."""
        known = self._of(graph).get(name)
        if known is None:
            self.add_signature(graph, name, inputs, outputs)
        else:
            self.add_signature(graph, name, {**known.inputs, **inputs}, {**known.outputs, **outputs})

    def sub_graph(self, name: str) -> Graph:
        """The parameter-server graph of that name."""
        return self.sub_graphs.setdefault(name, Graph())

    def dense_sub_graph(self, name: str) -> Graph:
        """The dense graph of that name."""
        return self.dense_sub_graphs.setdefault(name, Graph())

    def _of(self, graph: Graph) -> dict[str, SignatureRecord]:
        if id(graph) not in self._signatures:
            # Held, so that the identity is not given to another graph.
            self._graphs.append(graph)
            self._signatures[id(graph)] = {}
        return self._signatures[id(graph)]
