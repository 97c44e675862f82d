"""Prints what an independent reader finds in a folder of Parquet files: the columns of the files
as one line `name: type, ...`, then the rows, one JSON object a line, sorted. Partition columns are
read as text.
"""
import argparse
import datetime
import json
import pathlib

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("reader", choices=("pyarrow", "duckdb"))
parser.add_argument("folder", type=pathlib.Path)
parser.add_argument("--partition-by", default="", help="columns, separated by commas")
args = parser.parse_args()
partition_by = [name for name in args.partition_by.split(",") if name]


def text_of(value):
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.timezone.utc).isoformat()
    return str(value)


def print_rows(rows):
    for line in sorted(json.dumps(row, default=text_of, sort_keys=True) for row in rows):
        print(line)


def read_with_pyarrow():
    import pyarrow
    import pyarrow.dataset

    partitioning = pyarrow.dataset.partitioning(
        pyarrow.schema([(name, pyarrow.string()) for name in partition_by]), flavor="hive")
    dataset = pyarrow.dataset.dataset(args.folder, format="parquet", partitioning=partitioning)
    columns = [field for field in dataset.schema if field.name not in partition_by]
    print(", ".join(f"{field.name}: {field.type}" for field in columns))
    print_rows(dataset.to_table().to_pylist())


def read_with_duckdb():
    import duckdb

    files = str(args.folder / "**" / "*.parquet")
    hive = f"hive_partitioning={'true' if partition_by else 'false'}, hive_types_autocast=false"
    rows = duckdb.connect().sql(f"SELECT * FROM read_parquet(?, {hive})", params=[files])
    print(", ".join(f"{name}: {type_}" for name, type_ in zip(rows.columns, rows.types)
                    if name not in partition_by))
    # Python needs one package more for DuckDB's times with a zone.
    times = {name for name, type_ in zip(rows.columns, rows.types)
             if str(type_) == "TIMESTAMP WITH TIME ZONE"}
    select = [f'epoch_us("{name}")' if name in times else f'"{name}"' for name in rows.columns]
    start = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
    print_rows({name: start + datetime.timedelta(microseconds=value)
                if name in times and value is not None else value
                for name, value in zip(rows.columns, row)}
               for row in rows.project(", ".join(select)).fetchall())


{"pyarrow": read_with_pyarrow, "duckdb": read_with_duckdb}[args.reader]()
