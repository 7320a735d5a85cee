"""A subscriber that is not ours: reads a topic with Confluent's client and prints each record as one line of JSON.

It knows nothing of vigie: schemas come from the registry's URL by the id in each record. Only committed records count.
It starts at the beginning and ends once it has been at the end of every partition, or after --count records, or fails
with exit code 69 if that does not come within --timeout seconds.

    python subscriber.py --brokers 127.0.0.1:9092 --registry http://127.0.0.1:8081 insights.trends.v1
"""

import argparse
import datetime
import json
import sys
import time

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext


def plain(value):
    """Makes a decoded value fit for JSON: times as RFC 3339, bytes as hexadecimal."""
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    return value


def open_consumer(brokers):
    return Consumer(
        {
            "bootstrap.servers": brokers,
            "group.id": "subscriber-not-ours",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
        }
    )


def read_topic(consumer, topic, timeout, count=None):
    """Yields the records of a topic from its beginning to its end, or `count` of them. Raises TimeoutError."""
    metadata = consumer.list_topics(topic, timeout=timeout).topics[topic]
    if metadata.error is not None:
        raise KafkaException(metadata.error)
    waiting = set(metadata.partitions)
    consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in waiting])
    deadline = time.monotonic() + timeout
    seen = 0
    while waiting if count is None else seen < count:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{topic}: {seen} records in {timeout} s, partitions {sorted(waiting)} not at their end")
        message = consumer.poll(0.5)
        if message is None:
            continue
        if message.error() is not None:
            if message.error().code() != KafkaError._PARTITION_EOF:
                raise KafkaException(message.error())
            # Comes after the last committed record: transaction markers and aborted records have been stepped over.
            waiting.discard(message.partition())
            continue
        seen += 1
        yield message


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("topic")
    parser.add_argument("--brokers", default="127.0.0.1:9092")
    parser.add_argument("--registry", default="http://127.0.0.1:8081")
    parser.add_argument("--count", type=int, help="end after so many records instead of at the end of the topic")
    parser.add_argument("--timeout", type=float, default=30.0, help="seconds")
    options = parser.parse_args()

    deserialise = AvroDeserializer(SchemaRegistryClient({"url": options.registry}))
    consumer = open_consumer(options.brokers)
    try:
        for message in read_topic(consumer, options.topic, options.timeout, options.count):
            value = deserialise(message.value(), SerializationContext(message.topic(), MessageField.VALUE))
            key = message.key()
            line = {
                "topic": message.topic(),
                "partition": message.partition(),
                "offset": message.offset(),
                "timestamp": message.timestamp()[1],
                "key": None if key is None else key.decode(),
                "value": plain(value),
            }
            print(json.dumps(line, ensure_ascii=False))
    except (TimeoutError, KafkaException) as error:
        print(f"subscriber: {error}", file=sys.stderr)
        sys.exit(69)
    finally:
        consumer.close()


if __name__ == "__main__":
    main()
