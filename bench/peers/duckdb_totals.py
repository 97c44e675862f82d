"""DuckDB, one thread, over a file of rows: one JSON document a line (TIDEMARK_BENCH_FILE).

The whole is one query; its seconds are those from its start to the answer, with the file in the page
cache, without DuckDB's start. It keeps no state and knows neither watermark nor checkpoint.
"""
import os
import time

import duckdb

QUERY = """
SELECT count(*), sum(orders), sum(total), sum(most), sum((user_id + 1) * (total % 1000003)) FROM (
  SELECT user_id, count(*) AS orders, sum(amount) AS total, max(amount) AS most
  FROM read_json($file, format = 'newline_delimited',
                 columns = {user_id: 'BIGINT', event_time: 'TIMESTAMP', amount: 'BIGINT'})
  GROUP BY date_trunc('minute', event_time), user_id)
"""
# The types are given, so that nothing is guessed from a sample; insertion order is of no use to a
# sum, and keeping it costs buffers; nothing is fetched from anywhere.
SETTINGS = {
    "threads": 1,
    "preserve_insertion_order": False,
    "autoinstall_known_extensions": False,
}


def main():
    database = duckdb.connect(":memory:", config=SETTINGS)
    start = time.monotonic()
    groups, count, total, most, check = database.execute(QUERY, {"file": os.environ["TIDEMARK_BENCH_FILE"]}).fetchone()
    seconds = time.monotonic() - start
    print(count, f"{seconds:.6f}", 0, 0, groups, count, total, most, check)


main()
