import static org.apache.spark.sql.functions.*;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.spark.api.java.function.VoidFunction2;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.SparkSession;
import org.apache.spark.sql.streaming.StreamingQuery;
import org.apache.spark.sql.streaming.Trigger;

/**
 * How long Spark takes from a record's Kafka timestamp to the sink's commit of the batch that the
 * record is in: the totals of SparkTotals in update mode, RocksDB, the next batch as soon as one is
 * done. Prints `ready` when the query has run its first batches and waits; then the bench writes its
 * rows at their pace. The first WARM_UP_ROWS of them are left out. At the end it prints
 * `rows p50 p99 batches`, times in milliseconds.
 */
public final class SparkLatency {
  /** Rows whose latency does not count: the JIT compiler is still at work. */
  static final long WARM_UP_ROWS = Long.parseLong(Bench.env("TIDEMARK_BENCH_WARM_UP_ROWS", "0"));

  /** A batch is at the sink. */
  record Commit(long batch, long millis) {}

  public static void main(String[] args) throws Exception {
    SparkSession spark = SparkTotals.session(true);
    spark.conf().set("spark.sql.streaming.pollingDelay", "1"); // ms between looks for new rows; 10 by default
    List<Commit> commits = new ArrayList<>();
    Dataset<Row> totals = SparkTotals.totals(SparkTotals.rows(spark, Bench.TOPIC).load());
    StreamingQuery query =
        totals
            .writeStream()
            .outputMode("update")
            .trigger(Trigger.ProcessingTime(0))
            .option("checkpointLocation", Bench.FOLDER + "/checkpoint")
            .foreachBatch(
                (VoidFunction2<Dataset<Row>, Long>)
                    (batch, id) -> {
                      batch.write().format("noop").mode("overwrite").save();
                      synchronized (commits) {
                        commits.add(new Commit(id, System.currentTimeMillis()));
                      }
                    })
            .start();
    final long deadline = System.nanoTime() + 600_000_000_000L;
    boolean ready = false;
    long rows = 0;
    while (rows < Bench.ROWS && System.nanoTime() < deadline && query.isActive()) {
      Thread.sleep(20);
      if (!ready && query.status().message().startsWith("Waiting for data")) {
        ready = true;
        System.out.println("ready");
        System.out.flush();
      }
      rows = 0;
      for (var batch : query.recentProgress()) rows += batch.numInputRows();
    }
    query.stop();
    if (rows < Bench.ROWS) throw new IllegalStateException("only " + rows + " of " + Bench.ROWS + " rows came");
    report(query, commits);
    Runtime.getRuntime().halt(0);
  }

  /** The records' timestamps are read again here, so that Spark need not carry them. */
  private static void report(StreamingQuery query, List<Commit> commits) throws Exception {
    var mapper = new com.fasterxml.jackson.databind.ObjectMapper();
    List<long[]> ends = new ArrayList<>(); // a batch: its commit, then each partition's end offset
    for (var batch : query.recentProgress()) {
      if (batch.numInputRows() == 0) continue;
      long[] end = new long[1 + Bench.PARTITIONS];
      for (Commit commit : commits) if (commit.batch() == batch.batchId()) end[0] = commit.millis();
      var offsets = mapper.readTree(batch.sources()[0].endOffset()).get(Bench.TOPIC);
      for (int p = 0; p < Bench.PARTITIONS; ++p) end[1 + p] = offsets.get(String.valueOf(p)).asLong();
      ends.add(end);
    }
    List<long[]> records = new ArrayList<>(); // timestamp, latency
    for (ConsumerRecord<byte[], byte[]> record : read()) {
      for (long[] end : ends) {
        if (record.offset() >= end[1 + record.partition()]) continue;
        records.add(new long[] {record.timestamp(), end[0] - record.timestamp()});
        break;
      }
    }
    records.sort((left, right) -> Long.compare(left[0], right[0]));
    long[] latencies = records.stream().skip(WARM_UP_ROWS).mapToLong(record -> record[1]).sorted().toArray();
    System.out.printf("%d %d %d %d%n", latencies.length, at(latencies, 0.5), at(latencies, 0.99), ends.size());
    System.out.flush();
  }

  private static long at(long[] sorted, double share) {
    return sorted[Math.min(sorted.length - 1, (int) Math.ceil(sorted.length * share) - 1)];
  }

  private static List<ConsumerRecord<byte[], byte[]>> read() {
    Properties kafka = new Properties();
    kafka.setProperty("bootstrap.servers", Bench.BROKERS);
    kafka.setProperty("key.deserializer", ByteArrayDeserializer.class.getName());
    kafka.setProperty("value.deserializer", ByteArrayDeserializer.class.getName());
    List<ConsumerRecord<byte[], byte[]>> records = new ArrayList<>();
    try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(kafka)) {
      TopicPartition[] partitions = new TopicPartition[Bench.PARTITIONS];
      for (int p = 0; p < partitions.length; ++p) partitions[p] = new TopicPartition(Bench.TOPIC, p);
      consumer.assign(Arrays.asList(partitions));
      consumer.seekToBeginning(Arrays.asList(partitions));
      final long deadline = System.nanoTime() + 60_000_000_000L;
      while (records.size() < Bench.ROWS && System.nanoTime() < deadline) {
        consumer.poll(Duration.ofSeconds(1)).forEach(records::add);
      }
    }
    if (records.size() < Bench.ROWS) throw new IllegalStateException("only " + records.size() + " records to read again");
    return records;
  }
}
