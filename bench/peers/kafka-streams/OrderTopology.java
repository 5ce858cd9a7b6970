import com.fasterxml.jackson.annotation.JsonInclude;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.Headers;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

/**
 * The write side as a Kafka Streams topology: commands in, events and replies out, the orders in a store with a changelog, exactly once.
 *
 * Arguments: brokers, application id, topics of commands, events and replies, commit interval in milliseconds, state folder.
 */
public final class OrderTopology {
  record Line(String sku, String description, int quantity, long minorUnits) {}

  record Command(String id, String type, String customerId, String currencyCode, List<Line> lines) {}

  record Outcome(String commandId, long version, String rejection) {}

  record Order(long version, String status, String customerId, String currencyCode, List<Line> lines, List<Outcome> outcomes) {}

  record Event(
      String id, long version, String commandId, long recordedAt, String type, String customerId, String currencyCode, List<Line> lines, Long total) {}

  private static final String STORE = "orders";

  /** By this header the sender of a command knows its reply. All replies have the same key, and so one partition. */
  private static final String COMMAND_HEADER = "command";

  private static final String REPLY_KEY = "bench";

  private static final ObjectMapper json =
      new ObjectMapper()
          .setSerializationInclusion(JsonInclude.Include.NON_NULL)
          .configure(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES, false);

  public static void main(String[] args) {
    var streams = new KafkaStreams(topology(args[2], args[3], args[4]), settings(args[0], args[1], Integer.parseInt(args[5]), args[6]));
    Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(Duration.ofSeconds(5))));
    streams.start();
  }

  private static Topology topology(String commands, String events, String replies) {
    var text = Serdes.String();
    var bytes = Serdes.ByteArray();
    return new Topology()
        .addSource("commands", text.deserializer(), bytes.deserializer(), commands)
        .addProcessor("decider", Decider::new, "commands")
        .addStateStore(Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore(STORE), text, bytes), "decider")
        .addSink("events", events, text.serializer(), bytes.serializer(), "decider")
        .addSink("replies", replies, text.serializer(), bytes.serializer(), "decider");
  }

  private static Properties settings(String brokers, String applicationId, int commitIntervalMs, String stateFolder) {
    var settings = new Properties();
    settings.putAll(
        Map.of(
            StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, brokers,
            StreamsConfig.APPLICATION_ID_CONFIG, applicationId,
            StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2,
            StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, commitIntervalMs,
            StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1,
            StreamsConfig.STATE_DIR_CONFIG, stateFolder,
            StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest"));
    if (commitIntervalMs < 100) {
      // Whoever commits so often must neither wait longer for records than for the commit, nor hold back what is to be sent.
      settings.put(StreamsConfig.POLL_MS_CONFIG, 5);
      settings.put(StreamsConfig.producerPrefix(ProducerConfig.LINGER_MS_CONFIG), 5);
    }
    return settings;
  }

  private static final class Decider implements Processor<String, byte[], String, byte[]> {
    private ProcessorContext<String, byte[]> context;
    private KeyValueStore<String, byte[]> orders;

    @Override
    public void init(ProcessorContext<String, byte[]> context) {
      this.context = context;
      this.orders = context.getStateStore(STORE);
    }

    @Override
    public void process(Record<String, byte[]> record) {
      try {
        decide(record);
      } catch (IOException error) {
        throw new UncheckedIOException(error);
      }
    }

    private void decide(Record<String, byte[]> record) throws IOException {
      var command = json.readValue(record.value(), Command.class);
      var stored = orders.get(record.key());
      var order = stored == null ? new Order(0, "NEW", null, null, List.of(), List.of()) : json.readValue(stored, Order.class);
      var known = order.outcomes().stream().filter(outcome -> outcome.commandId().equals(command.id())).findFirst();
      Outcome outcome;
      if (known.isPresent()) {
        outcome = known.get();
      } else {
        var rejection = rejectionOf(order, command);
        var event = rejection == null ? eventOf(record.key(), order, command) : null;
        outcome = new Outcome(command.id(), order.version() + (event == null ? 0 : 1), rejection);
        orders.put(record.key(), json.writeValueAsBytes(evolve(order, event, outcome)));
        if (event != null) context.forward(record.withValue(json.writeValueAsBytes(event)).withHeaders(new RecordHeaders()), "events");
      }
      context.forward(record.withKey(REPLY_KEY).withValue(json.writeValueAsBytes(outcome)).withHeaders(replyHeaders(record.headers())), "replies");
    }
  }

  private static String rejectionOf(Order order, Command command) {
    return switch (command.type()) {
      case "createOrder" -> order.status().equals("NEW") ? null : "ORDER_EXISTS";
      case "addLine" -> order.status().equals("DRAFT") ? null : "ORDER_NOT_DRAFT";
      case "placeOrder" -> order.status().equals("DRAFT") && !order.lines().isEmpty() ? null : "ORDER_NOT_DRAFT";
      default -> "COMMAND_UNKNOWN";
    };
  }

  private static Event eventOf(String orderId, Order order, Command command) {
    var version = order.version() + 1;
    var total = command.type().equals("placeOrder") ? (Long) totalOf(order.lines()) : null;
    return new Event(
        orderId + "/" + version,
        version,
        command.id(),
        System.currentTimeMillis(),
        command.type(),
        command.customerId(),
        command.currencyCode(),
        command.lines(),
        total);
  }

  private static Order evolve(Order order, Event event, Outcome outcome) {
    var outcomes = with(order.outcomes(), List.of(outcome));
    if (event == null) return new Order(order.version(), order.status(), order.customerId(), order.currencyCode(), order.lines(), outcomes);
    return switch (event.type()) {
      case "createOrder" -> new Order(event.version(), "DRAFT", event.customerId(), event.currencyCode(), event.lines(), outcomes);
      case "addLine" ->
          new Order(event.version(), "DRAFT", order.customerId(), order.currencyCode(), with(order.lines(), event.lines()), outcomes);
      default -> new Order(event.version(), "PLACED", order.customerId(), order.currencyCode(), order.lines(), outcomes);
    };
  }

  private static long totalOf(List<Line> lines) {
    return lines.stream().mapToLong(line -> line.quantity() * line.minorUnits()).sum();
  }

  private static <Item> List<Item> with(List<Item> items, List<Item> more) {
    var all = new ArrayList<>(items);
    all.addAll(more);
    return all;
  }

  private static Headers replyHeaders(Headers headers) {
    Header command = headers.lastHeader(COMMAND_HEADER);
    return command == null ? new RecordHeaders() : new RecordHeaders(new Header[] {command});
  }
}
