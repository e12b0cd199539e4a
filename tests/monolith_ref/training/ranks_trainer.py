"""Run by each rank of test_train_command: one whole job by the command, and what ranks must agree on."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from monolith_ref.errors import ConfigError
from monolith_ref.sync.launch import make_communicator
from monolith_ref.training.recipe import load_train_config
from monolith_ref.training.trainer import Trainer


def main() -> None:
    folder = Path(sys.argv[1])
    communicator = make_communicator("mpi", timeout=60)
    for ranks_learn, message in (
        ("model.layers", "ranks disagree on"),
        ("training.seed", "ranks disagree on training.seed"),
    ):
        value = f"[{5 + communicator.rank}]" if ranks_learn == "model.layers" else str(communicator.rank)
        config = load_train_config(folder / "train.toml", {ranks_learn: value}, environment={})
        with pytest.raises(ConfigError, match=message):
            Trainer(config, communicator=communicator)
    config = load_train_config(folder / "train.toml", environment={})
    result = Trainer(config, communicator=communicator).fit()
    print(f"digest {communicator.rank} {result.digests['state']} {result.digests['loss']}", flush=True)
    communicator.close()


if __name__ == "__main__":
    main()
