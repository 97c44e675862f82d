import com.hazelcast.config.Config;
import com.hazelcast.core.Hazelcast;
import com.hazelcast.core.HazelcastInstance;
import com.hazelcast.jet.Job;
import com.hazelcast.jet.aggregate.AggregateOperation;
import com.hazelcast.jet.aggregate.AggregateOperation1;
import com.hazelcast.jet.config.JobConfig;
import com.hazelcast.jet.config.ProcessingGuarantee;
import com.hazelcast.jet.datamodel.KeyedWindowResult;
import com.hazelcast.jet.kafka.KafkaSources;
import com.hazelcast.jet.pipeline.Pipeline;
import com.hazelcast.jet.pipeline.Sink;
import com.hazelcast.jet.pipeline.SinkBuilder;
import com.hazelcast.jet.pipeline.WindowDefinition;
import com.hazelcast.shaded.com.fasterxml.jackson.core.JsonFactory;
import com.hazelcast.shaded.com.fasterxml.jackson.core.JsonParser;
import com.hazelcast.shaded.com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import java.io.Serializable;
import java.time.LocalDateTime;
import java.time.ZoneOffset;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * Hazelcast Jet, one member with two threads. A first job that ends after a quarter of the rows
 * warms the JIT compiler up; the seconds are those from the second job's first row to the last
 * group of its answer. Its snapshots go to memory: this member's, that is nothing survives a crash
 * of the process, unlike with the others.
 */
public final class JetTotals {
  private static final JsonFactory JSON = new JsonFactory();
  private static volatile long firstRowNanos;

  record Order(long user, long millis, long amount) implements Serializable {}

  public static void main(String[] args) throws Exception {
    System.setProperty("hazelcast.logging.type", "none");
    System.setProperty("hazelcast.phone.home.enabled", "false");
    System.setProperty("hazelcast.socket.bind.any", "false");
    Config config = new Config();
    config.getJetConfig().setEnabled(true).setCooperativeThreadCount(2); // the two cores all have
    // One member by itself, on the loopback.
    config.getNetworkConfig().getJoin().getMulticastConfig().setEnabled(false);
    config.getNetworkConfig().getJoin().getAutoDetectionConfig().setEnabled(false);
    config.getNetworkConfig().getInterfaces().setEnabled(true).addInterface("127.0.0.1");
    HazelcastInstance hazelcast = Hazelcast.newHazelcastInstance(config);
    run(hazelcast, Bench.ROWS / 4, "warm-up");
    Bench.forget();
    double seconds = run(hazelcast, Bench.ROWS, "measured");
    Bench.print(Bench.ROWS + Bench.PARTITIONS, seconds, 0);
    Runtime.getRuntime().halt(0);
  }

  /** Runs the job until groups with `rows` rows are out; seconds since its first row. */
  private static double run(HazelcastInstance hazelcast, long rows, String name) throws Exception {
    firstRowNanos = 0;
    Properties kafka = new Properties();
    kafka.setProperty("bootstrap.servers", Bench.BROKERS);
    kafka.setProperty("key.deserializer", ByteArrayDeserializer.class.getName());
    kafka.setProperty("value.deserializer", ByteArrayDeserializer.class.getName());
    kafka.setProperty("auto.offset.reset", "earliest");
    // Larger fetches and polls than Kafka's defaults (1 MiB and 500 rows).
    kafka.setProperty("max.partition.fetch.bytes", "8388608");
    kafka.setProperty("max.poll.records", "10000");

    Pipeline pipeline = Pipeline.create();
    pipeline
        // Parsed where it is read: no queue between the two.
        .readFrom(KafkaSources.<byte[], byte[], Order>kafka(kafka, JetTotals::parse, Bench.TOPIC))
        .withTimestamps(Order::millis, 30_000)
        .setLocalParallelism(2)
        .groupingKey(Order::user)
        .window(WindowDefinition.tumbling(60_000))
        .aggregate(totals())
        .setLocalParallelism(2)
        .writeTo(answer())
        .setLocalParallelism(2);
    Job job =
        hazelcast
            .getJet()
            .newJob(
                pipeline,
                new JobConfig()
                    .setName(name)
                    .setProcessingGuarantee(ProcessingGuarantee.EXACTLY_ONCE)
                    .setSnapshotIntervalMillis(1000));
    final long deadline = System.nanoTime() + 600_000_000_000L;
    while (Bench.counted() < rows && System.nanoTime() < deadline && !job.getStatus().isTerminal()) Thread.sleep(5);
    double seconds = (Bench.lastResultNanos() - firstRowNanos) / 1e9;
    job.cancel();
    try {
      job.join();
    } catch (java.util.concurrent.CancellationException cancelled) {
      // as asked
    }
    return seconds;
  }

  /** Jackson's streaming parser as Hazelcast ships it; what is not asked for is skipped. */
  private static Order parse(ConsumerRecord<byte[], byte[]> record) throws IOException {
    if (firstRowNanos == 0) firstRowNanos = System.nanoTime();
    long user = 0, millis = 0, amount = 0;
    try (JsonParser parser = JSON.createParser(record.value())) {
      parser.nextToken();
      while (parser.nextToken() == JsonToken.FIELD_NAME) {
        String name = parser.currentName();
        parser.nextToken();
        switch (name) {
          case "user_id" -> user = parser.getLongValue();
          case "event_time" -> millis = millisOf(parser.getText());
          case "amount" -> amount = parser.getLongValue();
          default -> parser.skipChildren();
        }
      }
    }
    return new Order(user, millis, amount);
  }

  /** 2025-01-01T00:00:00[.mmm]Z; java.time's general parser costs several times as much. */
  private static long millisOf(String time) {
    long seconds =
        LocalDateTime.of(number(time, 0, 4), number(time, 5, 7), number(time, 8, 10), number(time, 11, 13),
                number(time, 14, 16), number(time, 17, 19))
            .toEpochSecond(ZoneOffset.UTC);
    return seconds * 1000 + (time.charAt(19) == '.' ? number(time, 20, 23) : 0);
  }

  private static int number(String text, int from, int to) {
    int number = 0;
    for (int i = from; i < to; ++i) {
      int digit = text.charAt(i) - '0';
      if (digit < 0 || digit > 9) throw new IllegalArgumentException("not a time: " + text);
      number = number * 10 + digit;
    }
    return number;
  }

  /** One array a group, not three accumulators: a third of the objects in each snapshot. */
  private static AggregateOperation1<Order, long[], long[]> totals() {
    return AggregateOperation.withCreate(() -> new long[] {0, 0, Long.MIN_VALUE})
        .<Order>andAccumulate(
            (group, order) -> {
              ++group[0];
              group[1] += order.amount();
              group[2] = Math.max(group[2], order.amount());
            })
        .andCombine(
            (left, right) -> {
              left[0] += right[0];
              left[1] += right[1];
              left[2] = Math.max(left[2], right[2]);
            })
        .andExportFinish(long[]::clone);
  }

  private static Sink<KeyedWindowResult<Long, long[]>> answer() {
    return SinkBuilder.sinkBuilder("answer", context -> true)
        .<KeyedWindowResult<Long, long[]>>receiveFn(
            (context, group) ->
                Bench.take(group.start() / 1000, group.key(), group.result()[0], group.result()[1], group.result()[2]))
        .build();
  }
}
