// Writes the golden files of this folder with Kafka's own classes. Run with Kafka 4.3's jars:
//   javac -cp "lib/*" -d out Golden.java && java -cp "lib/*:out" Golden .
// With a second folder it also reads batches written there by Headrace (batch-*.bin) and prints them.
import java.io.File;
import java.nio.ByteBuffer;
import java.nio.file.*;
import java.util.*;
import org.apache.kafka.clients.consumer.ConsumerPartitionAssignor.*;
import org.apache.kafka.clients.consumer.internals.ConsumerProtocol;
import org.apache.kafka.common.*;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.protocol.*;
import org.apache.kafka.common.record.*;
import org.apache.kafka.common.record.internal.*;
import org.apache.kafka.coordinator.common.runtime.CoordinatorRecord;
import org.apache.kafka.coordinator.group.GroupCoordinatorRecordSerde;
import org.apache.kafka.coordinator.group.generated.*;
import org.apache.kafka.storage.internals.log.*;

public class Golden {
    static Path folder;

    static void write(String name, ByteBuffer data) throws Exception {
        byte[] bytes = new byte[data.remaining()];
        data.duplicate().get(bytes);
        Files.write(folder.resolve(name), bytes);
    }

    static byte[] bytes(String text) { return text == null ? null : text.getBytes(); }

    static void batches() throws Exception {
        SimpleRecord[] records = new SimpleRecord[40];
        for (int i = 0; i < 40; i++) {
            Header[] headers = i % 4 != 0 ? new Header[0] : new Header[] {
                new RecordHeader("trace", bytes("id-" + i)), new RecordHeader("empty", null)};
            records[i] = new SimpleRecord(1700000000000L + (i * 37) % 100,
                bytes(i % 3 == 0 ? null : "key-" + i), bytes(i % 5 == 4 ? null : "v".repeat(i * 9)), headers);
        }
        for (CompressionType type : CompressionType.values())
            write("batch-" + type.name + ".bin", MemoryRecords.withIdempotentRecords(
                (byte) 2, 4711L, Compression.of(type).build(), 9000L, (short) 3, 77, 5, records).buffer());
    }

    static void groups() throws Exception {
        GroupCoordinatorRecordSerde serde = new GroupCoordinatorRecordSerde();
        Files.write(folder.resolve("offset-key.bin"), serde.serializeKey(CoordinatorRecord.tombstone(
            new OffsetCommitKey().setGroup("grp").setTopic("top").setPartition(7))));
        Files.write(folder.resolve("group-key.bin"), serde.serializeKey(CoordinatorRecord.tombstone(
            new GroupMetadataKey().setGroup("grp"))));
        for (short v = 0; v <= 4; v++) {
            OffsetCommitValue offset = new OffsetCommitValue().setOffset(123456789012L).setMetadata("meta")
                .setCommitTimestamp(1700000000001L);
            if (v >= 3) offset.setLeaderEpoch(6);
            if (v == 1) offset.setExpireTimestamp(1700000099999L);
            if (v == 4) offset.setTopicId(new Uuid(0x0123456789abcdefL, 0x1122334455667788L));
            write("offset-value-v" + v + ".bin", MessageUtil.toVersionPrefixedByteBuffer(v, offset));
            GroupMetadataValue.MemberMetadata member = new GroupMetadataValue.MemberMetadata().setMemberId("m-1")
                .setClientId("c").setClientHost("/127.0.0.1").setSessionTimeout(45000)
                .setSubscription(new byte[] {1, 2, 3}).setAssignment(new byte[] {4, 5});
            if (v >= 1) member.setRebalanceTimeout(300000);
            if (v >= 3) member.setGroupInstanceId("static-1");
            GroupMetadataValue group = new GroupMetadataValue().setProtocolType("consumer").setGeneration(9)
                .setProtocol("range").setLeader("m-1").setMembers(List.of(member));
            if (v >= 2) group.setCurrentStateTimestamp(1700000000002L);
            write("group-value-v" + v + ".bin", MessageUtil.toVersionPrefixedByteBuffer(v, group));
        }
        List<TopicPartition> owned = List.of(new TopicPartition("a", 0), new TopicPartition("a", 2), new TopicPartition("b", 1));
        write("subscription.bin", ConsumerProtocol.serializeSubscription(new Subscription(
            List.of("a", "b"), ByteBuffer.wrap(new byte[] {9}), owned, 5, Optional.of("rack-1"))));
        write("assignment.bin", ConsumerProtocol.serializeAssignment(new Assignment(owned, null)));
    }

    static void snapshot() throws Exception {
        Map<Long, ProducerStateEntry> entries = new LinkedHashMap<>();
        ProducerStateEntry idempotent = new ProducerStateEntry(9000L, (short) 3, -1, 1700000000003L, OptionalLong.empty());
        var addBatch = ProducerStateEntry.class.getDeclaredMethod(
            "addBatch", short.class, int.class, long.class, int.class, long.class);
        addBatch.setAccessible(true);
        addBatch.invoke(idempotent, (short) 3, 116, 4750L, 39, 1700000000003L);
        entries.put(9000L, idempotent);
        entries.put(9001L, new ProducerStateEntry(9001L, (short) 0, 12, 1700000000004L, OptionalLong.of(4800L)));
        File file = folder.resolve("producers.snapshot").toFile();
        file.delete();
        ProducerStateManager.writeSnapshot(file, entries, true);
    }

    public static void main(String[] args) throws Exception {
        folder = Paths.get(args[0]);
        batches();
        groups();
        snapshot();
        if (args.length < 2) return;
        for (CompressionType type : CompressionType.values())
            for (RecordBatch batch : MemoryRecords.readableRecords(ByteBuffer.wrap(
                    Files.readAllBytes(Paths.get(args[1], "batch-" + type.name + ".bin")))).batches()) {
                batch.ensureValid();
                int hash = 0;
                for (org.apache.kafka.common.record.internal.Record r : batch) hash = hash * 31 + r.valueSize();
                System.out.println(type.name + " " + batch.countOrNull() + " records, " + hash);
            }
    }
}
