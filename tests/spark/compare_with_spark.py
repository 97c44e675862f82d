"""Runs generated topics through Spark Structured Streaming and through spark_twin, with one partition
and the same maximum of offsets a trigger, and compares what each batch writes. Called by
scripts/compare-with-spark, which says what is needed."""
import argparse
import datetime
import glob
import json
import os
import random
import subprocess
import sys
import tempfile

from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from pyspark.sql.avro.functions import from_avro

START_US = 1_736_150_400_000_000  # 2025-01-06T08:00:00Z
MAX_OFFSETS = 400
AVRO_SCHEMA = json.dumps({
    "type": "record", "name": "Twin", "fields": [
        {"name": "id", "type": "long"},
        {"name": "name", "type": ["null", "string"]},
        {"name": "amount", "type": ["null", "long"]},
        {"name": "at", "type": ["null", {"type": "long", "logicalType": "timestamp-micros"}]}]})
JSON_SCHEMA = "id BIGINT, name STRING, amount BIGINT, at TIMESTAMP"
SUMS = ["n", "total", "least", "most", "mean"]
COLUMNS = {"windowed": ["window_start", "window_end", "name"] + SUMS, "flat": ["name"] + SUMS,
           "plain": ["id", "name", "amount", "at"], "filtered": ["id", "name", "amount", "at"]}
NAMES = [None, "", "a", "b", "ä", "日本", "two words", "\"quoted\"\\"]
CASES = [(mode, shape) for shape in ("windowed", "flat") for mode in ("append", "update", "complete")
         if (mode, shape) != ("append", "flat")]
CASES += [(mode, shape) for shape in ("plain", "filtered") for mode in ("append", "update")]


def generate(seed, count):
    """Rows with nulls, ties on window edges, late rows, quiet spells and negative numbers."""
    rand = random.Random(seed)
    now_us = START_US
    rows = []
    for i in range(count):
        now_us += rand.choice([0, 1, 1_000, 250_000, 500_000])
        if rand.random() < 0.004:
            now_us += rand.choice([90_000_000, 300_000_000])  # a quiet spell
        at_us = now_us
        chance = rand.random()
        if chance < 0.10:
            at_us -= rand.randrange(0, 120_000_000)  # late, perhaps too late
        elif chance < 0.16:
            at_us = at_us // 60_000_000 * 60_000_000  # on a window's edge
        elif chance < 0.19:
            at_us = at_us // 60_000_000 * 60_000_000 - 1
        elif chance < 0.22:
            at_us = None
        amount = None if rand.random() < 0.1 else rand.randrange(-1_000, 1_000)
        rows.append((i, rand.choice(NAMES), amount, at_us))
    return rows


def time_text(us):
    return (datetime.datetime(1970, 1, 1) + datetime.timedelta(microseconds=us)).isoformat() + "Z"


def json_record(row):
    i, name, amount, at_us = row
    record = {"id": i, "name": name, "amount": amount,
              "at": None if at_us is None else time_text(at_us)}
    if i % 17 == 0:
        record = {key: value for key, value in record.items() if value is not None}
    return json.dumps(record, ensure_ascii=False).encode()


def avro_long(value):
    rest = (value << 1) ^ (value >> 63)
    out = bytearray()
    while rest > 0x7F:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)


def avro_record(row):
    i, name, amount, at_us = row
    out = avro_long(i)
    text = None if name is None else name.encode()
    out += avro_long(0) if text is None else avro_long(1) + avro_long(len(text)) + text
    for value in (amount, at_us):
        out += avro_long(0) if value is None else avro_long(1) + avro_long(value)
    return out


def cell(value):
    """A value as both sides can be compared by: times as microseconds."""
    if isinstance(value, datetime.datetime):
        since = value - datetime.datetime(1970, 1, 1)
        return since.days * 86_400_000_000 + since.seconds * 1_000_000 + since.microseconds
    return value


def our_cell(column, value):
    if column in ("window_start", "window_end", "at") and value is not None:
        return cell(datetime.datetime.fromisoformat(value.removesuffix("Z")))
    return value


def spark_batches(spark, brokers, topic, fmt, mode, shape, folder):
    raw = (spark.readStream.format("kafka").option("kafka.bootstrap.servers", brokers)
           .option("subscribe", topic).option("startingOffsets", "earliest")
           .option("maxOffsetsPerTrigger", MAX_OFFSETS).load())
    record = (F.from_json(F.col("value").cast("string"), JSON_SCHEMA) if fmt == "json"
              else from_avro(F.col("value"), AVRO_SCHEMA))
    rows = raw.select(record.alias("r")).select("r.*")
    sums = [F.count(F.lit(1)).alias("n"), F.sum("amount").alias("total"), F.min("amount").alias("least"),
            F.max("amount").alias("most"), F.avg("amount").alias("mean")]
    if shape == "windowed":
        out = (rows.withWatermark("at", "30 seconds").groupBy(F.window("at", "1 minute"), "name").agg(*sums)
               .select(F.col("window.start").alias("window_start"), F.col("window.end").alias("window_end"),
                       "name", "n", "total", "least", "most", "mean"))
    elif shape == "flat":
        out = rows.groupBy("name").agg(*sums)
    else:
        kept = rows if shape == "plain" else rows.filter("amount > 0")
        out = kept.select("id", "name", "amount", "at")
    batches = {}

    def keep(batch, batch_id):
        found = sorted(repr(tuple(cell(v) for v in row)) for row in batch.collect())
        if found:
            batches[batch_id] = found

    query = (out.writeStream.outputMode(mode).foreachBatch(keep).trigger(availableNow=True)
             .option("checkpointLocation", folder).start())
    query.awaitTermination()
    return batches


def our_batches(job, brokers, topic, fmt, mode, shape, folder):
    flags = ["--brokers", brokers, "--topic", topic, "--starting-offsets", "earliest",
             "--max-offsets-per-trigger", str(MAX_OFFSETS), "--trigger", "available-now",
             "--checkpoint", folder + "/checkpoint", "--sink", "json:" + folder + "/rows",
             "--output-mode", mode, "--param", "shape=" + shape]
    if fmt == "avro":
        with open(folder + "/twin.avsc", "w") as file:
            file.write(AVRO_SCHEMA)
        flags += ["--format", "avro", "--avro-schema", folder + "/twin.avsc"]
    subprocess.run([job] + flags, check=True, stderr=subprocess.PIPE, timeout=120)
    batches = {}  # a null is left out of our files, as out of Spark's
    for path in glob.glob(folder + "/rows/part-*.json*"):
        batch_id = int(os.path.basename(path).split("-")[1])
        with open(path, encoding="utf-8") as file:
            for line in file:
                row = json.loads(line)
                batches.setdefault(batch_id, []).append(
                    repr(tuple(our_cell(column, row.get(column)) for column in COLUMNS[shape])))
    return {batch_id: sorted(rows) for batch_id, rows in batches.items()}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--brokers", required=True)
    parser.add_argument("--job", required=True)
    parser.add_argument("--jars", required=True)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.add_argument("--topics", type=int, default=1)
    parser.add_argument("--records", type=int, default=3_000)
    args = parser.parse_args()
    spark = (SparkSession.builder.master("local[2]").appName("compare").config("spark.jars", args.jars)
             .config("spark.sql.shuffle.partitions", "2").config("spark.sql.session.timeZone", "UTC")
             .config("spark.ui.enabled", "false").config("spark.driver.memory", "1g")
             .config("spark.ui.showConsoleProgress", "false").getOrCreate())
    spark.sparkContext.setLogLevel("ERROR")
    version = spark.version
    different = 0
    print(f"Spark {version} | seed {args.seed} | {args.records} records a topic")
    print("topic | format | mode | shape | batches | rows | verdict")
    for number in range(args.topics):
        rows = generate(args.seed + number, args.records)
        for fmt, encode in (("json", json_record), ("avro", avro_record)):
            topic = f"twin_{fmt}_{number}"
            subprocess.run(["scripts/services", "topic", topic], check=True, stdout=subprocess.DEVNULL)
            (spark.createDataFrame([(bytearray(encode(row)),) for row in rows], "value BINARY").coalesce(1)
             .write.format("kafka").option("kafka.bootstrap.servers", args.brokers).option("topic", topic).save())
            for mode, shape in CASES:
                with tempfile.TemporaryDirectory() as folder:
                    theirs = spark_batches(spark, args.brokers, topic, fmt, mode, shape, folder + "/spark")
                    ours = our_batches(args.job, args.brokers, topic, fmt, mode, shape, folder)
                same = theirs == ours
                different += not same
                count = sum(len(batch) for batch in theirs.values())
                print(f"{topic} | {fmt} | {mode} | {shape} | {len(theirs)} | {count} | "
                      f"{'equal' if same else 'DIFFERENT'}", flush=True)
                if not same:
                    for batch_id in sorted(set(theirs) | set(ours)):
                        a, b = theirs.get(batch_id, []), ours.get(batch_id, [])
                        if a != b:
                            print(f"  batch {batch_id}: Spark alone {sorted(set(a) - set(b))[:5]}, "
                                  f"Tidemark alone {sorted(set(b) - set(a))[:5]}")
                            break
    spark.stop()
    print("all batches are equal" if different == 0 else f"{different} cases differ")
    sys.exit(different != 0)


if __name__ == "__main__":
    main()
