import java.util.concurrent.atomic.LongAccumulator;
import java.util.concurrent.atomic.LongAdder;

/** What every peer in Java shares: what the bench tells it, and the answer (bench/totals.h). */
public final class Bench {
  public static final String BROKERS = env("TIDEMARK_BENCH_BROKERS");
  public static final String TOPIC = env("TIDEMARK_BENCH_TOPIC");
  /** Rows that count; behind them each partition has one more record, a day later. */
  public static final long ROWS = Long.parseLong(env("TIDEMARK_BENCH_ROWS"));
  public static final int PARTITIONS = Integer.parseInt(env("TIDEMARK_BENCH_PARTITIONS"));
  /** A folder of this run's own for checkpoints; the bench removes it. */
  public static final String FOLDER = env("TIDEMARK_BENCH_FOLDER");
  /** From here on windows are not part of the answer. */
  public static final long END_SECONDS = Long.parseLong(env("TIDEMARK_BENCH_END_SECONDS", String.valueOf(Long.MAX_VALUE)));

  private static final LongAdder groups = new LongAdder();
  private static final LongAdder counted = new LongAdder();
  private static final LongAdder totals = new LongAdder();
  private static final LongAdder mosts = new LongAdder();
  private static final LongAdder checks = new LongAdder();
  private static final LongAccumulator lastResultNanos = new LongAccumulator(Math::max, Long.MIN_VALUE);

  static {
    // The engines' other threads would go on for ever.
    Thread.currentThread()
        .setUncaughtExceptionHandler(
            (thread, failure) -> {
              failure.printStackTrace();
              Runtime.getRuntime().halt(1);
            });
  }

  private Bench() {}

  /**
   * Takes one closed group; from any thread. Left out is the window of the later records, which
   * those engines close too that see the end of the topic.
   */
  public static void take(long windowStartSeconds, long user, long count, long total, long most) {
    if (windowStartSeconds >= END_SECONDS) return;
    groups.increment();
    counted.add(count);
    totals.add(total);
    mosts.add(most);
    checks.add((user + 1) * (total % 1_000_003));
    lastResultNanos.accumulate(System.nanoTime());
  }

  /** The rows in the groups taken. When it is ROWS, the answer is complete. */
  public static long counted() {
    return counted.sum();
  }

  public static long lastResultNanos() {
    return lastResultNanos.get();
  }

  public static void forget() {
    for (LongAdder sum : new LongAdder[] {groups, counted, totals, mosts, checks}) sum.reset();
    lastResultNanos.reset();
  }

  /** `rows` were read in `seconds`; the answer is that of the groups taken. */
  public static void print(long rows, double seconds, long batches) {
    print(rows, seconds, batches,
        new long[] {groups.sum(), counted.sum(), totals.sum(), mosts.sum(), checks.sum()});
  }

  /** The line that RunFigures::FromText reads (bench/engine_run.h), without the state's size. */
  public static void print(long rows, double seconds, long batches, long[] answer) {
    System.out.printf("%d %.6f %d 0 %d %d %d %d %d%n", rows, seconds, batches, answer[0], answer[1],
        answer[2], answer[3], answer[4]);
    System.out.flush();
  }

  private static String env(String name) {
    String value = env(name, null);
    if (value == null) {
      System.err.println(name + " is not set; a bench starts this program (bench/peers/README.md).");
      System.exit(2);
    }
    return value;
  }

  static String env(String name, String otherwise) {
    String value = System.getenv(name);
    return value == null ? otherwise : value;
  }
}
