"""Generate ``*_pb2.py`` and ``*_pb2.pyi`` from every ``.proto`` here: ``python -m monolith_protos.generate``.

``--check`` writes nothing and exits with 1 where the code in the tree is not what the sources give. Needs grpcio-tools
(extra ``dev``), whose version decides which protobuf runtime the code asks for.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

__all__ = ["generate", "main", "stale"]

HERE = Path(__file__).resolve().parent


def generate(output: Path) -> list[Path]:
    """Generate all code below ``output`` (as ``monolith_protos/<name>_pb2.py``) and return the files written."""
    from importlib.resources import files

    from grpc_tools import protoc

    sources = sorted(path.relative_to(HERE.parent).as_posix() for path in HERE.glob("*.proto"))
    includes = [f"-I{HERE.parent}", f"-I{files('grpc_tools') / '_proto'}"]
    status = protoc.main(["protoc", *includes, f"--python_out={output}", f"--pyi_out={output}", *sources])
    if status != 0:
        raise RuntimeError(f"protoc failed with status {status}")
    written = sorted((output / HERE.name).glob("*_pb2.py*"))
    for path in written:
        if path.suffix == ".pyi":
            # protoc leaves the mapping that may stand for a message without type arguments.
            path.write_text(path.read_text().replace("_Mapping]", "_Mapping[str, object]]"))
    return written


def stale() -> list[str]:
    """Names of generated files that are missing, differ from their source, or have no source."""
    with tempfile.TemporaryDirectory() as directory:
        fresh = {path.name: path.read_bytes() for path in generate(Path(directory))}
    present = {path.name: path.read_bytes() for path in HERE.glob("*_pb2.py*")}
    return sorted(name for name in fresh.keys() | present.keys() if fresh.get(name) != present.get(name))


def main(arguments: list[str] | None = None) -> int:
    """Command line: no argument or ``--check``."""
    given = sys.argv[1:] if arguments is None else arguments
    if given == ["--check"]:
        names = stale()
        for name in names:
            print(f"{name} is not what its source gives: run `make protos`", file=sys.stderr)
        return 1 if names else 0
    if given:
        print("usage: python -m monolith_protos.generate [--check]", file=sys.stderr)
        return 2
    generate(HERE.parent)
    return 0


if __name__ == "__main__":
    sys.exit(main())
