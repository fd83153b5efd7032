// Kafka's error codes: tests/kafka/kafka_errors.txt. From here, with the folder's full name:
//   java -cp "/…/.cache/kafka-4.4.0-…/*" PrintErrors.java > kafka_errors.txt

import org.apache.kafka.common.errors.RetriableException;
import org.apache.kafka.common.protocol.Errors;

public class PrintErrors {
    public static void main(String[] arguments) {
        System.out.println("# code, name, whether it is retriable");
        for (Errors error : Errors.values()) {
            boolean retriable = error.exception() instanceof RetriableException;
            System.out.printf("%d %s %b%n", error.code(), error.name(), retriable);
        }
    }
}
