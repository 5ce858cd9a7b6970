import java.time.Duration;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.TreeMap;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.ListOffsetsOptions;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.IsolationLevel;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * Prints everything that Kafka's own client reads of some topics, read-committed, as lines of JSON; then where each partition ends for a
 * reader of committed and of all records, and what a group has committed.
 *
 * Usage: java -cp '<Kafka's jars>/*' DumpLog.java <brokers> <group> <topic>...
 */
public final class DumpLog {
  private static final Base64.Encoder BASE64 = Base64.getEncoder();

  public static void main(String[] args) {
    try {
      dump(args);
    } catch (Exception error) {
      // Left to the launcher of source files, some exceptions are lost.
      error.printStackTrace();
      System.exit(1);
    }
  }

  private static void dump(String[] args) throws Exception {
    Properties settings = new Properties();
    settings.put("bootstrap.servers", args[0]);
    settings.put("isolation.level", "read_committed");
    settings.put("enable.auto.commit", "false");
    settings.put("max.poll.records", "10000");
    settings.put("key.deserializer", ByteArrayDeserializer.class.getName());
    settings.put("value.deserializer", ByteArrayDeserializer.class.getName());
    List<TopicPartition> partitions = new ArrayList<>();
    try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(settings)) {
      for (int topic = 2; topic < args.length; topic++) {
        consumer.partitionsFor(args[topic]).forEach(info -> partitions.add(new TopicPartition(info.topic(), info.partition())));
      }
      printRecords(consumer, partitions);
    }
    try (Admin admin = Admin.create(settings)) {
      printEnds(admin, partitions);
      printCommitted(admin, args[1]);
    }
  }

  private static void printRecords(KafkaConsumer<byte[], byte[]> consumer, List<TopicPartition> partitions) {
    Map<TopicPartition, Long> ends = consumer.endOffsets(partitions);
    consumer.assign(partitions);
    consumer.seekToBeginning(partitions);
    StringBuilder line = new StringBuilder();
    while (ends.entrySet().stream().anyMatch(end -> consumer.position(end.getKey()) < end.getValue())) {
      for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(500))) {
        line.setLength(0);
        line.append("{\"topic\":\"").append(record.topic()).append("\",\"partition\":").append(record.partition());
        line.append(",\"offset\":").append(record.offset()).append(",\"timestamp\":").append(record.timestamp());
        line.append(",\"key\":").append(encoded(record.key())).append(",\"value\":").append(encoded(record.value()));
        line.append(",\"headers\":{");
        String separator = "";
        for (Header header : record.headers()) {
          line.append(separator).append('"').append(header.key()).append("\":").append(encoded(header.value()));
          separator = ",";
        }
        System.out.println(line.append("}}"));
      }
    }
  }

  private static void printEnds(Admin admin, List<TopicPartition> partitions) throws Exception {
    Map<TopicPartition, OffsetSpec> wanted = new TreeMap<>((a, b) -> a.toString().compareTo(b.toString()));
    partitions.forEach(partition -> wanted.put(partition, OffsetSpec.latest()));
    var stable = admin.listOffsets(wanted, new ListOffsetsOptions(IsolationLevel.READ_COMMITTED)).all().get();
    var high = admin.listOffsets(wanted, new ListOffsetsOptions(IsolationLevel.READ_UNCOMMITTED)).all().get();
    for (TopicPartition partition : wanted.keySet()) {
      System.out.printf(
          "{\"end\":\"%s\",\"partition\":%d,\"stable\":%d,\"high\":%d}%n",
          partition.topic(), partition.partition(), stable.get(partition).offset(), high.get(partition).offset());
    }
  }

  private static void printCommitted(Admin admin, String group) throws Exception {
    var offsets = admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get();
    for (var entry : offsets.entrySet()) {
      System.out.printf(
          "{\"committed\":\"%s\",\"partition\":%d,\"offset\":%d}%n",
          entry.getKey().topic(), entry.getKey().partition(), entry.getValue().offset());
    }
  }

  private static String encoded(byte[] bytes) {
    return bytes == null ? "null" : '"' + BASE64.encodeToString(bytes) + '"';
  }
}
