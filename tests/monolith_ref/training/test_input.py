"""Real logs: maps, hashing, labels, readers and everything that can be wrong with them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from monolith_protos.example_pb2 import Example

from monolith_ref.checkpoint.container import frame
from monolith_ref.errors import ArgumentError, ConfigError, FormatError
from monolith_ref.training.input.encode import encode, encode_times
from monolith_ref.training.input.hashing import fids_of_texts
from monolith_ref.training.input.mapping import ColumnMap, InputMap, make_map
from monolith_ref.training.input.readers import read_files
from monolith_ref.training.input.source import LogSource, open_logs
from monolith_ref.training.order import row_order

MAP = make_map(["user", {"name": "genres", "separator": " "}], "rating >= 4")

Write = Callable[[str, str | bytes], Path]


def example(**columns: list[str] | list[int] | list[float]) -> bytes:
    message = Example()
    for name, values in columns.items():
        feature = message.features.feature[name]
        if isinstance(values[0], str):
            feature.bytes_list.value.extend(v.encode() for v in values if isinstance(v, str))
        elif isinstance(values[0], int):
            feature.int64_list.value.extend(v for v in values if isinstance(v, int))
        else:
            feature.float_list.value.extend(values)  # type: ignore[arg-type]
    return frame(message.SerializeToString(deterministic=True))


def read(path: Path, input_map: InputMap = MAP) -> LogSource:
    return open_logs([path], input_map, batch_size=2)


# Readers.


def contents(source: LogSource) -> tuple[list[int], list[list[int]], list[float]]:
    data = source.data
    return (
        data.ragged["user"].values.tolist(),
        [data.ragged["genres"].row(i).tolist() for i in range(data.rows)],
        data.label.tolist(),
    )


def expected() -> tuple[list[int], list[list[int]], list[float]]:
    return (
        fids_of_texts(["7", "8", "7"], 1).tolist(),
        [fids_of_texts(["Comedy", "Drama"], 2).tolist(), [], fids_of_texts(["Drama", "Drama"], 2).tolist()],
        [1.0, 0.0, 1.0],
    )


def test_all_formats_give_the_same_rows(write: Write) -> None:
    csv = "user,rating,genres\n7,4,Comedy Drama\n8,3.5,\n7,5,Drama  Drama\n"
    tsv = csv.replace(",", "\t")
    typed = tsv.replace("user\trating\tgenres", "user:token\trating:float\tgenres:token_seq")
    rows = [
        {"user": 7, "rating": 4, "genres": ["Comedy", "Drama"]},
        {"user": "8", "rating": 3.5, "genres": None},
        {"user": "7", "rating": "5", "genres": "Drama Drama", "more": 1},
    ]
    lines = "\n".join(json.dumps(row) for row in rows) + "\n\n"
    records = (
        example(user=[7], rating=[4.0], genres=["Comedy", "Drama"])
        + example(user=["8"], rating=[3.5])
        + example(user=["7"], rating=[5], genres=["Drama Drama"])
    )
    files = [
        write("a.csv", "\ufeff" + csv),
        write("crlf.csv", csv.replace("\n", "\r\n")),
        write("a.tsv", tsv),
        write("a.inter", typed),
        write("a.csv.gz", gzip.compress(csv.encode())),
        write("a.jsonl", lines),
        write("a.jsonl.gz", gzip.compress(lines.encode())),
        write("a.tfrecord", records),
    ]
    for path in files:
        assert contents(read(path)) == expected(), path.name


def test_quotes_and_blanks_are_kept(write: Write) -> None:
    input_map = make_map(["user"], "rating")
    quoted = read(write("a.csv", 'user,rating\n"a, b",1\n x ,2\n'), input_map)
    assert quoted.data.ragged["user"].values.tolist() == fids_of_texts(["a, b", " x "], 1).tolist()
    plain = read(write("a.tsv", 'user\trating\n"a\t1\n'), input_map)
    assert plain.data.ragged["user"].values.tolist() == fids_of_texts(['"a'], 1).tolist()


def test_rows_of_all_files_come_one_after_the_other(write: Write) -> None:
    first = write("a.csv", "user,rating,genres\n1,4,a\n2,4,b\n")
    second = write("b.csv", "rating,genres,user\n1,c,3\n")
    source = open_logs([first, second], MAP, batch_size=2)
    assert source.data.ragged["user"].values.tolist() == fids_of_texts(["1", "2", "3"], 1).tolist()
    assert source.data.label.tolist() == [1, 1, 0]
    bad = write("c.csv", "user,rating,genres\n1,2,a\nx,y,b\n")
    with pytest.raises(FormatError, match="expected a number, found 'y'") as caught:
        open_logs([first, second, bad], MAP, batch_size=2)
    assert (caught.value.path, caught.value.record) == (str(bad), 1)


HEADER = "user,rating,genres\n"


_ONE = Example(features={"feature": {"user": {"int64_list": {"value": [1]}}}}).SerializeToString()
TWICE = b"\x0a" + bytes([2 * (len(_ONE) - 2)]) + 2 * _ONE[2:]

MALFORMED: list[tuple[str, str | bytes, str, int | None]] = [
        ("a.csv", "", "empty", None),
        ("a.csv", HEADER + "1,2,a\n1,2\n", "line 3 has 2 cells, the header 3", 1),
        ("a.csv", HEADER + '1,2,"a\n', "line", 0),
        ("a.csv", HEADER + '1,2,"a"b\n', "line", 0),
        ("a.csv", HEADER + "1,high,a\n", "'rating': expected a number, found 'high'", 0),
        ("a.csv", HEADER + "1,,a\n", "expected a number, found ''", 0),
        ("a.csv", HEADER + "1,1_0,a\n", "expected a number", 0),
        ("a.csv", HEADER + "1,nan,a\n", "expected a number, found 'nan'", 0),
        ("a.csv", HEADER + "1,1e999,a\n", "expected a number", 0),
        ("a.csv", "user,user,rating,genres\n1,2,3,4\n", "twice", None),
        ("a.csv", HEADER.encode() + b"\xff,2,a\n", "UTF-8", None),
        ("a.csv.gz", b"no gzip", "gzip", None),
        ("a.csv.gz", gzip.compress(HEADER.encode() * 50)[:-12], "gzip", None),
        ("a.jsonl", '{"user": 1, "rating": 4, "genres": "a"}\n{"user"\n', "not JSON", 1),
        ("a.jsonl", "[1]\n", "JSON object", 0),
        ("a.jsonl", '{"user": 1, "rating": 4, "genres": "a", "user": 2}\n', "has 'user' twice", 0),
        ("a.jsonl", '{"user": 1.5, "rating": 4, "genres": "a"}\n', "column 'user'.*float 1.5", 0),
        ("a.jsonl", '{"user": {}, "rating": 4, "genres": "a"}\n', "column 'user'", 0),
        ("a.jsonl", '{"user": 1, "genres": "a"}\n{"user": 1, "rating": 4, "genres": "a"}\n', "column 'rating'", 0),
        ("a.jsonl", '{"user": 1, "rating": [4, 5], "genres": "a"}\n', "expected a number", 0),
        ("a.jsonl", '{"user": "\\ud800", "rating": 4, "genres": "a"}\n', "column 'user'.*UTF-8", 0),
        ("a.tfrecord", frame(b"\xff\xff"), "not a tf.Example", 0),
        ("a.tfrecord", frame(TWICE), "has feature 'user' twice", 0),
        ("a.tfrecord.gz", b"no gzip", "gzip", None),
        ("a.tfrecord.gz", gzip.compress(frame(b"\xff\xff")), "not a tf.Example", 0),
        ("a.tfrecord.gz", gzip.compress(frame(b"\xff\xff")[:-2]), "a.tfrecord.gz", None),
        ("a.tfrecord", example(user=[1], rating=[4], genres=["a"])[:-3], "a.tfrecord", None),
        ("a.tfrecord", example(user=[1.5], rating=[4], genres=["a"]), "column 'user'.*float", 0),
    ]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "message", "record"), MALFORMED, ids=map(str, range(len(MALFORMED))))
def test_malformed_files(write: Write, name: str, content: str | bytes, message: str, record: int | None) -> None:
    path = write(name, content)
    with pytest.raises(FormatError, match=message) as caught:
        read(path)
    assert caught.value.path == str(path)
    if record is not None:
        assert caught.value.record == record


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "users,rating,genres\n1,2,a\n", "no column 'user'; the nearest one is 'users'"),
        ("a.jsonl", '{"user": 1, "rating": 4}\n', "no column 'genres'"),
        ("a.tfrecord", example(user=[1], genre=["a"], rating=[3]), "nearest one is 'genre'"),
        ("a.csv", HEADER, "no rows"),
        ("a.txt", "", "must end in"),
        ("a.parquet.gz", b"", "must end in"),
        ("a.tfrecord.gz", b"", "no rows"),
    ],
    ids=map(str, range(7)),
)
def test_inputs_that_do_not_fit_the_map(write: Write, name: str, content: str | bytes, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read(write(name, content))


def test_absent_files(tmp_path: Path) -> None:
    for name in ("a.csv", "a.csv.gz", "a.tfrecord"):
        with pytest.raises(ConfigError, match="cannot read"):
            read(tmp_path / name)
    with pytest.raises(ConfigError, match="no input file"):
        open_logs([], MAP, batch_size=2)


# Batches.


def test_epochs_are_shuffled_and_tails_kept(write: Write) -> None:
    rows = "".join(f"{i},{i % 6},g{i} h{i}\n" for i in range(11))
    path = write("a.csv", HEADER + rows)
    source = open_logs([path], MAP, batch_size=4, epochs=2, seed=3)
    assert source.steps == 6
    assert [source.global_rows(t) for t in range(7)] == [4, 4, 3, 4, 4, 3, 0]
    whole = source.data
    for epoch in range(2):
        order = row_order(3, epoch, 11)
        seen = []
        for number in range(3):
            step = 3 * epoch + number
            total = source.global_rows(step)
            cut = total // 2
            for low, high in ((0, cut), (cut, total)):
                batch = source.rows(step, low, high).checked()
                assert (batch.global_rows, batch.first_row, batch.rows) == (total, low, high - low)
                for i, row in enumerate(order[4 * number + low : 4 * number + high]):
                    seen.append(row)
                    assert batch.label[i] == whole.label[row]
                    assert batch.ragged["genres"].row(i).tolist() == whole.ragged["genres"].row(row).tolist()
        assert seen == order.tolist()
    with pytest.raises(ArgumentError, match="rows"):
        source.rows(2, 0, 4)
    with pytest.raises(ConfigError, match="batch_size"):
        open_logs([path], MAP, batch_size=0)
    with pytest.raises(ConfigError, match="epochs"):
        open_logs([path], MAP, batch_size=1, epochs=0)


# Formats and kinds that the trainer adds.


def test_parquet_equals_csv(tmp_path: Path, write: Write) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    table = pyarrow.table({"user": [1, 2, None], "rating": [4.0, 3.0, 5.0], "genres": [["a", "b"], [], ["c"]]})
    parquet.write_table(table, tmp_path / "a.parquet", row_group_size=2)
    ours = read(tmp_path / "a.parquet").data
    theirs = read(write("a.csv", HEADER + "1,4,a b\n2,3,\n,5,c\n")).data
    for name in ("user", "genres"):
        assert ours.ragged[name].values.tolist() == theirs.ragged[name].values.tolist()
        assert ours.ragged[name].row_splits.tolist() == theirs.ragged[name].row_splits.tolist()
    assert ours.label.tolist() == theirs.label.tolist()


def test_parquet_files_that_are_wrong(tmp_path: Path, write: Write) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    with pytest.raises(FormatError, match="not a Parquet file"):
        read(write("a.parquet", b"PAR1"))
    parquet.write_table(pyarrow.table({"user": [1], "genre": ["a"], "rating": [4]}), tmp_path / "b.parquet")
    with pytest.raises(ConfigError, match="no column 'genres'; the nearest one is 'genre'"):
        read(tmp_path / "b.parquet")
    parquet.write_table(
        pyarrow.table({"user": [1, 2], "genres": [b"a", b"\xff"], "rating": [4, 5]}), tmp_path / "c.parquet"
    )
    with pytest.raises(FormatError, match="UTF-8") as caught:
        read(tmp_path / "c.parquet")
    assert caught.value.record == 1


def test_zipped_records_equal_plain_ones(write: Write) -> None:
    records = example(user=[1], rating=[4], genres=["a b"]) + example(user=[2], rating=[1], genres=["c"])
    plain, packed = write("a.tfrecord", records), write("b.tfrecord.gz", gzip.compress(records))
    assert read(plain).data.ragged["genres"].values.tolist() == read(packed).data.ragged["genres"].values.tolist()


def test_plain_ids_numbers_and_times(write: Write) -> None:
    columns = (ColumnMap("u", 5, column="user", plain=True), ColumnMap("g", 6, " ", "genres"))
    mapping = InputMap(columns, "rating >= 4", (("age", "rating"),), "user")
    assert mapping.wanted() == ["user", "genres", "rating"]
    table = read_files([write("a.csv", HEADER + "7,4,a\n0,3.5,b\n")], mapping.wanted())
    batch = encode(table, mapping)
    assert batch.ragged["u"].values.tolist() == [(5 << 48) | 7, 5 << 48]
    assert batch.dense["age"].tolist() == [[4.0], [3.5]]
    assert encode_times(table, "user").tolist() == [7, 0]
    for content, message in (
        ("-1,4,a\n", "whole number in 0"),
        (f"{1 << 48},4,a\n", "whole number"),
        ("x,4,a\n", "'x'"),
    ):
        table = read_files([write("b.csv", HEADER + "1,4,a\n" + content)], mapping.wanted())
        with pytest.raises(FormatError, match=message) as caught:
            encode(table, mapping)
        assert caught.value.record == 1
    table = read_files([write("c.csv", HEADER + "1,4,a\n4294967296,4,a\n")], mapping.wanted())
    with pytest.raises(FormatError, match=r"column 'user'.*seconds") as caught:
        encode_times(table, "user")
    assert caught.value.record == 1


def test_batches_carry_the_times_of_their_first_rows(write: Write) -> None:
    path = write("a.csv", HEADER + "".join(f"{n},4,a\n" for n in range(5)))
    table = read_files([path], MAP.wanted())
    rows = encode(table, MAP)
    times = np.arange(5, dtype=np.int64) * 10
    source = LogSource(MAP, rows, batch_size=3, shuffle=False, times=times)
    batch = source.rows(1, 1, 2)
    assert (batch.req_time, batch.global_req_time, batch.rows) == (40, 30, 1)
    nothing = source.rows(1, 0, 0)
    assert (nothing.req_time, nothing.global_req_time) == (0, 30)
    assert [source.rows(t, 0, source.global_rows(t)).rows for t in range(3)] == [3, 2, 0]
