import com.sun.management.OperatingSystemMXBean;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HashMap;
import java.util.Locale;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.CloseOptions;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.kstream.Windowed;
import org.apache.kafka.streams.kstream.WindowedSerdes;
import org.apache.kafka.streams.processor.StateRestoreListener;
import org.apache.kafka.streams.state.BuiltInDslStoreSuppliers;

/**
 * A windowed count by key in Kafka Streams, exactly once, by one thread; prints what it measured as one line of JSON.
 *
 * Arguments are NAME=VALUE: brokers, application, input, output, store (memory or rocksdb), commit-ms, state-dir, and
 * records: how many to process before it stops; 0 stops as soon as the state is restored.
 *
 * What is not set here is left as Kafka Streams has it: the record cache (10 MiB), max.poll.records (1000), metrics on.
 */
public final class WindowedCount {
    private static final Duration WINDOW = Duration.ofMinutes(5);
    private static final Duration GRACE = Duration.ofHours(1);

    private final long records;
    private final CountDownLatch done = new CountDownLatch(1);
    private long seen;
    private Mark first;
    private Mark half;

    /** A moment: nanoseconds of the wall clock and of the CPU. */
    private record Mark(long wall, long cpu) {
        static Mark now() {
            var system = (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
            return new Mark(System.nanoTime(), system.getProcessCpuTime());
        }
    }

    private WindowedCount(long records) {
        this.records = records;
    }

    public static void main(String[] arguments) throws Exception {
        Map<String, String> options = new HashMap<>();
        for (String argument : arguments) {
            String[] parts = argument.split("=", 2);
            options.put(parts[0], parts[1]);
        }
        new WindowedCount(Long.parseLong(options.get("records"))).run(options);
    }

    private void run(Map<String, String> options) throws Exception {
        var streams = new KafkaStreams(topology(options.get("input"), options.get("output")), settings(options));
        var restore = new Restore();
        streams.setGlobalStateRestoreListener(restore);
        streams.setStateListener((next, previous) -> {
            if (next == KafkaStreams.State.RUNNING && records == 0) {
                done.countDown();
            } else if (next == KafkaStreams.State.ERROR) {
                System.exit(1);
            }
        });
        Mark start = Mark.now();
        streams.start();
        done.await();
        Mark ready = Mark.now();
        double commits = metric(streams, "commit-total");
        double mean = metric(streams, "commit-latency-avg");
        double longest = metric(streams, "commit-latency-max");
        // Closing commits what is in hand. It leaves the group, so that the next run need not wait for this one's session to time out.
        streams.close(CloseOptions.groupMembershipOperation(CloseOptions.GroupMembershipOperation.LEAVE_GROUP)
            .withTimeout(Duration.ofSeconds(60)));
        Mark end = Mark.now();
        if (records == 0) {
            System.out.println(json(
                "restored", restore.records, "restore_seconds", seconds(restore.wall()), "restore_cpu_seconds", seconds(restore.cpu()),
                "start_seconds", seconds(ready.wall - start.wall), "start_cpu_seconds", seconds(ready.cpu - start.cpu),
                "peak_rss_mib", peakMemory()));
            return;
        }
        System.out.println(json(
            "records", seen, "seconds", seconds(end.wall - first.wall), "cpu_seconds", seconds(end.cpu - first.cpu),
            "half_seconds", seconds(end.wall - half.wall), "half_cpu_seconds", seconds(end.cpu - half.cpu),
            "process_cpu_seconds", seconds(end.cpu), "peak_rss_mib", peakMemory(),
            "commits", commits, "commit_mean_ms", mean, "commit_max_ms", longest));
    }

    private Topology topology(String input, String output) {
        var builder = new StreamsBuilder();
        builder.stream(input, Consumed.with(Serdes.Bytes(), Serdes.ByteArray()))
            .peek((key, value) -> saw())
            .groupByKey(Grouped.with(Serdes.Bytes(), Serdes.ByteArray()))
            .windowedBy(TimeWindows.ofSizeAndGrace(WINDOW, GRACE))
            .count(Materialized.as("counts"))
            .toStream()
            .to(output, Produced.with(windowed(), Serdes.Long()));
        return builder.build();
    }

    private static Serde<Windowed<Bytes>> windowed() {
        return new WindowedSerdes.TimeWindowedSerde<>(Serdes.Bytes(), WINDOW.toMillis());
    }

    private void saw() {
        seen++;
        if (seen == 1) {
            first = Mark.now();
        } else if (seen == records / 2) {
            half = Mark.now();
        } else if (seen == records) {
            done.countDown();
        }
    }

    private static Properties settings(Map<String, String> options) {
        var settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, options.get("application"));
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, options.get("brokers"));
        settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
        settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, options.get("commit-ms"));
        settings.put(StreamsConfig.STATE_DIR_CONFIG, options.get("state-dir"));
        settings.put(StreamsConfig.producerPrefix("compression.type"), "lz4");
        settings.put(StreamsConfig.DSL_STORE_SUPPLIERS_CLASS_CONFIG, switch (options.get("store")) {
            case "memory" -> BuiltInDslStoreSuppliers.InMemoryDslStoreSuppliers.class;
            case "rocksdb" -> BuiltInDslStoreSuppliers.RocksDBDslStoreSuppliers.class;
            default -> throw new IllegalArgumentException("store is memory or rocksdb");
        });
        return settings;
    }

    private static double metric(KafkaStreams streams, String name) {
        return streams.metrics().values().stream()
            .filter(metric -> metric.metricName().name().equals(name) && metric.metricName().group().equals("stream-thread-metrics"))
            .mapToDouble(metric -> (Double) metric.metricValue()).max().orElse(Double.NaN);
    }

    /** The most memory that the process held at once, in MiB. */
    private static double peakMemory() throws IOException {
        try (var lines = Files.lines(Path.of("/proc/self/status"))) {
            String peak = lines.filter(line -> line.startsWith("VmHWM:")).findFirst().orElseThrow();
            return Long.parseLong(peak.replaceAll("\\D", "")) / 1024.0;
        }
    }

    private static double seconds(long nanoseconds) {
        return nanoseconds / 1e9;
    }

    private static String json(Object... fields) {
        var text = new StringBuilder("{");
        for (int i = 0; i < fields.length; i += 2) {
            text.append(i == 0 ? "" : ", ").append('"').append(fields[i]).append("\": ").append(number(fields[i + 1]));
        }
        return text.append('}').toString();
    }

    private static String number(Object value) {
        if (!(value instanceof Double number)) {
            return value.toString();
        }
        return number.isNaN() ? "null" : String.format(Locale.ROOT, "%.4f", number);
    }

    /** How long the restore took, from the first store's start to the last one's end. */
    private static final class Restore implements StateRestoreListener {
        private Mark start;
        private Mark end;
        private long records;

        @Override
        public synchronized void onRestoreStart(TopicPartition partition, String store, long from, long to) {
            start = start == null ? Mark.now() : start;
        }

        @Override
        public void onBatchRestored(TopicPartition partition, String store, long offset, long count) {}

        @Override
        public synchronized void onRestoreEnd(TopicPartition partition, String store, long total) {
            records += total;
            end = Mark.now();
        }

        synchronized long wall() {
            return end == null ? 0 : end.wall - start.wall;
        }

        synchronized long cpu() {
            return end == null ? 0 : end.cpu - start.cpu;
        }
    }
}
