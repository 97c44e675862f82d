import java.time.LocalDateTime;
import java.time.ZoneOffset;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.sink.v2.DiscardingSink;
import org.apache.flink.table.api.bridge.java.StreamTableEnvironment;
import org.apache.flink.table.functions.ScalarFunction;
import org.apache.flink.types.Row;

/**
 * Flink SQL in one process with two slots. Warm-up: a job of its own over the first quarter of the
 * topic. The seconds are those from the second job's first row to the last group of its answer,
 * without planning and deploying, and without the wait for the last checkpoint.
 */
public final class FlinkTotals {
  private static volatile long firstRowNanos;

  /** Passes a column on, and notes when the first row came. */
  public static final class Seen extends ScalarFunction {
    public Long eval(Long value) {
      if (firstRowNanos == 0) firstRowNanos = System.nanoTime();
      return value;
    }
  }

  public static void main(String[] args) throws Exception {
    String quarter =
        IntStream.range(0, Bench.PARTITIONS)
            .mapToObj(p -> "partition:" + p + ",offset:" + Bench.ROWS / Bench.PARTITIONS / 4)
            .collect(Collectors.joining(";"));
    run("'scan.bounded.mode' = 'specific-offsets', 'scan.bounded.specific-offsets' = '" + quarter + "'", "warm-up");
    Bench.forget();
    double seconds = run("'scan.bounded.mode' = 'latest-offset'", "measured");
    Bench.print(Bench.ROWS + Bench.PARTITIONS, seconds, 0);
    System.exit(0);
  }

  private static double run(String bounds, String name) throws Exception {
    Configuration conf = new Configuration();
    String[][] settings = {
      {"parallelism.default", "2"}, // the two cores all of them have
      {"taskmanager.numberOfTaskSlots", "2"},
      {"rest.bind-address", "127.0.0.1"},
      {"rest.address", "127.0.0.1"},
      {"state.backend.type", "rocksdb"},
      // Uploads only new SST files: the cheaper kind of checkpoint with RocksDB.
      {"execution.checkpointing.incremental", "true"},
      {"execution.checkpointing.interval", "1s"},
      {"execution.checkpointing.dir", "file://" + Bench.FOLDER + "/checkpoints-" + name},
      // RocksDB's memory (write buffers, block cache) and that of the window buffers; 128 MiB by
      // default in one process.
      {"taskmanager.memory.managed.size", "512m"},
      {"io.tmp.dirs", Bench.FOLDER},
      // No copy of each row between chained operators; SQL operators allow it.
      {"pipeline.object-reuse", "true"},
      // Rows are summed in memory before RocksDB is touched.
      {"table.exec.mini-batch.enabled", "true"},
      {"table.exec.mini-batch.allow-latency", "1s"},
      {"table.exec.mini-batch.size", "50000"},
      {"table.optimizer.agg-phase-strategy", "TWO_PHASE"},
      {"table.local-time-zone", "UTC"},
    };
    for (String[] setting : settings) conf.setString(setting[0], setting[1]);
    StreamExecutionEnvironment env = StreamExecutionEnvironment.getExecutionEnvironment(conf);
    StreamTableEnvironment table = StreamTableEnvironment.create(env);
    firstRowNanos = 0;
    table.createTemporarySystemFunction("seen", Seen.class);
    table.executeSql(
        "CREATE TABLE input (user_id BIGINT, event_time TIMESTAMP_LTZ(3), amount BIGINT,"
            + " WATERMARK FOR event_time AS event_time - INTERVAL '30' SECOND) WITH ("
            + " 'connector' = 'kafka', 'topic' = '" + Bench.TOPIC + "',"
            + " 'properties.bootstrap.servers' = '" + Bench.BROKERS + "',"
            // Larger fetches and polls than Kafka's defaults (1 MiB and 500 rows).
            + " 'properties.max.partition.fetch.bytes' = '8388608', 'properties.max.poll.records' = '10000',"
            + " 'scan.startup.mode' = 'earliest-offset', " + bounds + ","
            + " 'format' = 'json', 'json.timestamp-format.standard' = 'ISO-8601')");
    table
        .toDataStream(
            table.sqlQuery(
                "SELECT window_start, user_id, COUNT(*) AS orders, SUM(seen(amount)) AS total, MAX(amount) AS most"
                    + " FROM TABLE(TUMBLE(TABLE input, DESCRIPTOR(event_time), INTERVAL '60' SECOND))"
                    + " GROUP BY window_start, window_end, user_id"))
        .map(FlinkTotals::take)
        .returns(Boolean.class)
        .sinkTo(new DiscardingSink<>());
    env.execute(name);
    return (Bench.lastResultNanos() - firstRowNanos) / 1e9;
  }

  private static Boolean take(Row row) {
    Bench.take(((LocalDateTime) row.getField(0)).toEpochSecond(ZoneOffset.UTC), (Long) row.getField(1), (Long) row.getField(2), (Long) row.getField(3),
        (Long) row.getField(4));
    return true;
  }
}
