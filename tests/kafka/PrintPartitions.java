// What Java's default partitioner does with some keys: tests/kafka/murmur2_vectors.txt. From here, with the folder's full name:
//   java -cp "/…/.cache/kafka-4.4.0-…/*" PrintPartitions.java > murmur2_vectors.txt

import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.Random;
import org.apache.kafka.clients.producer.internals.BuiltInPartitioner;
import org.apache.kafka.common.utils.Utils;

public class PrintPartitions {
    public static void main(String[] arguments) {
        System.out.println("# key in hex, murmur2, partition of 3, partition of 1000003");
        Random random = new Random(42);
        for (int length = 0; length <= 70; length++) {
            byte[] key = new byte[length];
            random.nextBytes(key);
            print(key);
        }
        for (String text : new String[] {"ключ", "鍵", "🔑", "Schlüssel", "a\u0000b", "ÿ", "\uFFFD"}) {
            print(text.getBytes(StandardCharsets.UTF_8));
        }
        // Bytes that are negative in Java.
        for (int length = 1; length <= 9; length++) {
            for (byte same : new byte[] {(byte) 0xff, (byte) 0x80, 0}) {
                byte[] key = new byte[length];
                Arrays.fill(key, same);
                print(key);
            }
        }
        // Longer than what is cached, and than one piece of a long key.
        for (int length : new int[] {256, 257, 1023, 16384, 16387, 40001}) {
            byte[] key = new byte[length];
            for (int at = 0; at < length; at++) {
                key[at] = (byte) (at * 31);
            }
            System.out.printf("@%d %d %d %d%n", length, Utils.murmur2(key), partition(key, 3), partition(key, 1000003));
        }
    }

    static void print(byte[] key) {
        String hex = key.length == 0 ? "-" : HexFormat.of().formatHex(key);
        System.out.printf("%s %d %d %d%n", hex, Utils.murmur2(key), partition(key, 3), partition(key, 1000003));
    }

    static int partition(byte[] key, int partitions) {
        return BuiltInPartitioner.partitionForKey(key, partitions);
    }
}
