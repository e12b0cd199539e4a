"""Time and memory of reading, verifying, slicing and rewriting dump files, by size.

Usage: ``python benchmarks/model_dump.py [--features N ...]``. Each measurement runs in a process of its own; memory is
what that process took at most beyond what it had after imports.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from monolith_protos import graph_pb2, model_dump_pb2
from monolith_protos.hash_table_pb2 import EmbeddingHashTableConfig

from monolith_ref.model_dump.canonical import canonical_bytes
from monolith_ref.model_dump.file import Dump, read_dump
from monolith_ref.model_dump.graphs import Slicer, parse_graph
from monolith_ref.model_dump.verify import verify_dump

BYTES_PER_FEATURE = 2000


def make_dump(features: int) -> model_dump_pb2.ModelDump:
    """A model shaped like a real one: two segments per table, slices over groups of features, a chain of nodes."""
    config = EmbeddingHashTableConfig(initial_capacity=1)
    config.cuckoo.SetInParent()
    for dim in (32, 1):
        segment = config.entry_config.segments.add(dim_size=dim)
        segment.init_config.random_uniform.maxval = 0.0078125
        segment.opt_config.adagrad.learning_rate = 0.02
        segment.comp_config.fp16.SetInParent()
    names = [f"fc_feature_with_a_name_{number}" for number in range(features)]
    out = model_dump_pb2.ModelDump(run_config=json.dumps({"num_ps": 3, "is_local": True}))
    for mode in ("train", "infer"):
        out.model_dump[mode].CopyFrom(_model(names))
    for name in names:
        out.table_configs.add(name=name, table_config=config.SerializeToString(), learning_rates=[0.02, 0.01])
        out.feature_slice_dims.add(name=name, dims=[32, 1])
        out.feature_combiners.add(name=name)
    return out


def _model(names: list[str]) -> model_dump_pb2.ProtoModel:
    proto = model_dump_pb2.ProtoModel()
    ports = 2 * len(names)
    for name in names:
        proto.features.add(feature_name=name, occurrence_threshold=2, expire_time=36500)
    groups = [names[: len(names) // 5], names[len(names) // 5 :]]
    begin = 0
    for slice_name, dim in (("vec", 32), ("bias", 1)):
        for group in groups:
            outputs = [f"queue:{port}" for port in range(begin, begin + len(group))]
            begin += len(group)
            item = proto.emb_slices.add(
                features=repr(group), slice_name=slice_name, slice_dim=dim, output_tensor_names=outputs
            )
            item.optimizer.adagrad.learning_rate = 0.02
    proto.model_fn.predict.append("pred:0")
    proto.model_fn.head_name.append("ctr")
    proto.model_fn.loss = "pred:0"
    graph = graph_pb2.GraphDef()
    graph.node.add(name="queue", op="QueueDequeueV2")
    concat = graph.node.add(
        name="concat", op="ConcatV2", input=[f"queue:{port}" if port else "queue" for port in range(ports)]
    )
    concat.attr["N"].i = ports
    # The nodes of a dense half, and constants, grow with the number of features here, to reach its size.
    last = "concat"
    weight = bytes(range(256)) * 2
    for number in range(max(50, len(names) // 3)):
        const = graph.node.add(name=f"layer_{number}/value", op="Const", device="/job:ps/task:0")
        const.attr["value"].tensor.tensor_content = weight
        const.attr["dtype"].type = graph_pb2.DT_FLOAT
        node = graph.node.add(name=f"layer_{number}", op="AddV2", input=[last, f"layer_{number}/value"])
        node.attr["T"].type = graph_pb2.DT_FLOAT
        last = f"layer_{number}"
    graph.node.add(name="pred", op="Sigmoid", input=[last])
    proto.graph_def = canonical_bytes(graph)
    return proto


def _padded(features: int) -> model_dump_pb2.ModelDump:
    """The model with constants as large as it takes to reach ``BYTES_PER_FEATURE``."""
    out = make_dump(features)
    missing = features * BYTES_PER_FEATURE - out.ByteSize()
    for mode in ("train", "infer"):
        graph = parse_graph(out.model_dump[mode].graph_def)
        count = max(1, features // 100)
        for number in range(count):
            node = graph.node.add(name=f"constant_{number}", op="Const")
            node.attr["value"].tensor.tensor_content = bytes(max(0, missing // 2 // count - 40))
        out.model_dump[mode].graph_def = canonical_bytes(graph)
    return out


def _read(path: Path) -> None:
    read_dump(path)


def _verify(path: Path) -> None:
    report = verify_dump(read_dump(path))
    assert report.ok, report.findings[:3]


def _slice(path: Path) -> None:
    proto = read_dump(path).message.model_dump["train"]
    sources = [name for item in proto.emb_slices for name in item.output_tensor_names]
    Slicer(parse_graph(proto.graph_def)).slice(["pred:0"], sources)


def _rewrite(path: Path) -> None:
    dump = read_dump(path)
    dump.write(path.with_suffix(".copy"))


TASKS: dict[str, Callable[[Path], None]] = {"read": _read, "verify": _verify, "slice": _slice, "rewrite": _rewrite}


def _peak_memory() -> int:
    """Bytes at the peak of this program; what its parent took before does not count, as it does in getrusage."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("the system does not tell the peak of memory")


def _measure(task: str, path: Path, repeats: int) -> None:
    """In a process of its own: seconds of every run, and the bytes of memory at the peak."""
    base = _peak_memory()
    begin = time.perf_counter()
    TASKS[task](path)
    seconds = [time.perf_counter() - begin]
    peak = _peak_memory() - base
    for _ in range(repeats - 1):
        begin = time.perf_counter()
        TASKS[task](path)
        seconds.append(time.perf_counter() - begin)
    print(json.dumps({"seconds": seconds, "peak": peak}))


def main() -> None:
    """Print one line per size and task."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--features", type=int, nargs="+", default=[516, 5000, 50000])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--measure", nargs=2, metavar=("TASK", "FILE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        _measure(options.measure[0], Path(options.measure[1]), options.repeats)
        return
    print(
        f"{'features':>8} {'MB':>8} {'task':>8} {'first ms':>9} {'median ms':>9} {'ms per MB':>9} {'memory / file':>13}"
    )
    with tempfile.TemporaryDirectory() as folder:
        for features in options.features:
            path = Path(folder) / f"{features}.pb"
            Dump(_padded(features)).write(path)
            size = path.stat().st_size
            for task in TASKS:
                found = subprocess.run(
                    [
                        sys.executable,
                        os.path.abspath(__file__),
                        "--repeats",
                        str(options.repeats),
                        "--measure",
                        task,
                        str(path),
                    ],
                    check=True,
                    capture_output=True,
                    text=True,
                )
                got = json.loads(found.stdout)
                median = statistics.median(got["seconds"]) * 1000
                print(
                    f"{features:>8} {size / 1e6:>8.2f} {task:>8} {got['seconds'][0] * 1000:>9.1f} {median:>9.1f} "
                    f"{median / (size / 1e6):>9.2f} {got['peak'] / size:>13.2f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
