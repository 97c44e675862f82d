import static org.apache.spark.sql.functions.*;

import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.SparkSession;
import org.apache.spark.sql.streaming.StreamingQuery;
import org.apache.spark.sql.streaming.StreamingQueryProgress;
import org.apache.spark.sql.streaming.Trigger;
import org.apache.spark.sql.types.StructType;

/**
 * Spark Structured Streaming: `SparkTotals rocksdb` or `SparkTotals memory` (its default state
 * store: maps in memory, written to a delta file each batch). The session's start and the first two
 * batches (code generation, the JIT compiler) are not in its seconds.
 */
public final class SparkTotals {
  static final int WARM_UP_BATCHES = 2;

  public static void main(String[] args) throws Exception {
    boolean rocksdb = args[0].equals("rocksdb");
    SparkSession spark = session(rocksdb);
    Dataset<Row> totals =
        totals(
            rows(spark, Bench.TOPIC)
                // A batch costs Spark about half a second whatever it holds, so large ones suit it:
                // it commits every few seconds, where the others commit each second.
                .option("maxOffsetsPerTrigger", "500000")
                .load());
    // The answer's sums are taken in passing (observe) and the rows thrown away (noop), which costs
    // less than a foreachBatch with a query of its own.
    StreamingQuery query =
        totals
            .observe(
                "answer",
                count(lit(1)).as("groups"),
                sum("orders"),
                sum("total"),
                sum("most"),
                expr("sum((user_id + 1) * (total % 1000003))"))
            .writeStream()
            .format("noop")
            .outputMode("append")
            .trigger(Trigger.AvailableNow())
            .option("checkpointLocation", Bench.FOLDER + "/checkpoint")
            .start();
    query.awaitTermination();
    report(query.recentProgress());
    // The answer is out; a session's orderly end would only add time.
    Runtime.getRuntime().halt(0);
  }

  static SparkSession session(boolean rocksdb) {
    SparkSession.Builder builder =
        SparkSession.builder()
            .master("local[2]") // the two cores all of them have
            .config("spark.sql.shuffle.partitions", "2") // one a core; 200 by default
            .config("spark.sql.session.timeZone", "UTC")
            .config("spark.ui.enabled", "false")
            .config("spark.driver.host", "127.0.0.1")
            .config("spark.driver.bindAddress", "127.0.0.1")
            .config("spark.local.dir", Bench.FOLDER)
            .config("spark.sql.streaming.numRecentProgressUpdates", "100000");
    if (rocksdb) {
      builder
          .config("spark.sql.streaming.stateStore.providerClass",
              "org.apache.spark.sql.execution.streaming.state.RocksDBStateStoreProvider")
          // Uploads what changed and not every SST file: its documentation's advice for latency.
          .config("spark.sql.streaming.stateStore.rocksdb.changelogCheckpointing.enabled", "true")
          // Saves a look-up a write; only a metric is lost, says its documentation.
          .config("spark.sql.streaming.stateStore.rocksdb.trackTotalNumberOfRows", "false");
    }
    return builder.getOrCreate();
  }

  static org.apache.spark.sql.streaming.DataStreamReader rows(SparkSession spark, String topic) {
    return spark
        .readStream()
        .format("kafka")
        .option("kafka.bootstrap.servers", Bench.BROKERS)
        .option("subscribe", topic)
        .option("startingOffsets", "earliest")
        // Larger fetches and polls than Kafka's defaults (1 MiB and 500 rows).
        .option("kafka.max.partition.fetch.bytes", "8388608")
        .option("kafka.max.poll.records", "10000");
  }

  static Dataset<Row> totals(Dataset<Row> rows) {
    StructType order = StructType.fromDDL("user_id BIGINT, event_time TIMESTAMP, amount BIGINT");
    return rows.select(from_json(col("value").cast("string"), order).as("r"))
        .select("r.*")
        .withWatermark("event_time", "30 seconds")
        .groupBy(window(col("event_time"), "60 seconds"), col("user_id"))
        .agg(count(lit(1)).as("orders"), sum("amount").as("total"), max("amount").as("most"));
  }

  static void report(StreamingQueryProgress[] batches) {
    long rows = 0;
    double start = -1, end = 0;
    long[] answer = new long[5];
    int skip = batches.length > WARM_UP_BATCHES + 1 ? WARM_UP_BATCHES : 0;
    for (int i = 0; i < batches.length; ++i) {
      StreamingQueryProgress batch = batches[i];
      double at = java.time.Instant.parse(batch.timestamp()).toEpochMilli() / 1e3;
      if (i >= skip) {
        if (start < 0) start = at;
        rows += batch.numInputRows();
        end = at + batch.durationMs().get("triggerExecution") / 1e3;
      }
      Row sums = batch.observedMetrics().get("answer");
      for (int s = 0; sums != null && s < answer.length; ++s) answer[s] += sums.isNullAt(s) ? 0 : sums.getLong(s);
    }
    Bench.print(rows, end - start, batches.length, answer);
  }
}
