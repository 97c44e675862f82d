"""Reads a topic, and how far a group has read it, through librdkafka."""
import ctypes
from ctypes import POINTER, c_char_p, c_int, c_int32, c_int64, c_size_t, c_void_p

OFFSET_BEGINNING = -2
PARTITION_EOF = -191
TIMEOUT_MS = 10_000


class Partition(ctypes.Structure):  # rd_kafka_topic_partition_t
    _fields_ = [("topic", c_char_p), ("partition", c_int32), ("offset", c_int64),
                ("metadata", c_void_p), ("metadata_size", c_size_t), ("opaque", c_void_p),
                ("err", c_int), ("private", c_void_p)]


class PartitionList(ctypes.Structure):  # rd_kafka_topic_partition_list_t
    _fields_ = [("count", c_int), ("size", c_int), ("elements", POINTER(Partition))]


class Message(ctypes.Structure):  # rd_kafka_message_t
    _fields_ = [("err", c_int), ("topic", c_void_p), ("partition", c_int32),
                ("payload", c_void_p), ("size", c_size_t), ("key", c_void_p),
                ("key_size", c_size_t), ("offset", c_int64), ("private", c_void_p)]


class TopicMetadata(ctypes.Structure):  # rd_kafka_metadata_topic_t
    _fields_ = [("topic", c_char_p), ("partition_count", c_int), ("partitions", c_void_p),
                ("err", c_int)]


class Metadata(ctypes.Structure):  # rd_kafka_metadata_t
    _fields_ = [("broker_count", c_int), ("brokers", c_void_p), ("topic_count", c_int),
                ("topics", POINTER(TopicMetadata)), ("broker_id", c_int32),
                ("broker_name", c_char_p)]


def load():
    library = ctypes.CDLL("librdkafka.so.1")
    for name, result in (("conf_new", c_void_p), ("new", c_void_p), ("topic_new", c_void_p),
                         ("topic_partition_list_new", POINTER(PartitionList)),
                         ("topic_partition_list_add", POINTER(Partition)),
                         ("consumer_poll", POINTER(Message)), ("err2str", c_char_p)):
        getattr(library, "rd_kafka_" + name).restype = result
    return library


class TopicReader:
    """Of committed messages only."""

    def __init__(self, brokers, topic, group):
        self._library = load()
        self._topic = topic.encode()
        conf = c_void_p(self._library.rd_kafka_conf_new())
        problem = ctypes.create_string_buffer(512)
        for name, value in (("bootstrap.servers", brokers), ("group.id", group),
                            ("enable.partition.eof", "true"), ("enable.auto.commit", "false"),
                            ("isolation.level", "read_committed"), ("log_level", "0")):
            self._library.rd_kafka_conf_set(conf, name.encode(), value.encode(), problem,
                                            c_size_t(len(problem)))
        self._handle = c_void_p(self._library.rd_kafka_new(1, conf, problem,
                                                           c_size_t(len(problem))))
        if not self._handle:
            raise RuntimeError(problem.value.decode())
        self._library.rd_kafka_poll_set_consumer(self._handle)
        self._partitions = self._library.rd_kafka_topic_partition_list_new(c_int(8))
        try:
            for partition in range(self._count_partitions()):
                self._library.rd_kafka_topic_partition_list_add(self._partitions, self._topic,
                                                                c_int32(partition))
        except RuntimeError:
            self.close()
            raise

    def close(self):
        self._library.rd_kafka_topic_partition_list_destroy(self._partitions)
        self._library.rd_kafka_consumer_close(self._handle)
        self._library.rd_kafka_destroy(self._handle)

    def _check(self, error):
        if error != 0:
            raise RuntimeError(f"topic {self._topic.decode()}: "
                               f"{self._library.rd_kafka_err2str(c_int(error)).decode()}")

    def _count_partitions(self):
        handle = c_void_p(self._library.rd_kafka_topic_new(self._handle, self._topic, None))
        metadata = POINTER(Metadata)()
        error = self._library.rd_kafka_metadata(self._handle, 0, handle, ctypes.byref(metadata),
                                                TIMEOUT_MS)
        self._library.rd_kafka_topic_destroy(handle)
        self._check(error)
        found = metadata.contents.topics[0]
        error, count = found.err, found.partition_count
        self._library.rd_kafka_metadata_destroy(metadata)
        self._check(error)
        return count

    def messages(self):
        """The value (bytes or None) of every message, and the offset behind each partition's last."""
        for i in range(self._partitions.contents.count):
            self._partitions.contents.elements[i].offset = OFFSET_BEGINNING
        self._check(self._library.rd_kafka_assign(self._handle, self._partitions))
        values, ends = [], {}
        while len(ends) < self._partitions.contents.count:
            message = self._library.rd_kafka_consumer_poll(self._handle, TIMEOUT_MS)
            if not message:
                raise RuntimeError(f"topic {self._topic.decode()}: the broker sends nothing")
            found = message.contents
            if found.err == PARTITION_EOF:
                ends[found.partition] = found.offset
            elif found.err == 0:
                values.append(ctypes.string_at(found.payload, found.size)
                              if found.payload else None)
            error = found.err
            self._library.rd_kafka_message_destroy(message)
            self._check(0 if error == PARTITION_EOF else error)
        return values, ends

    def committed(self):
        """The offset that the group has committed for each partition; negative: none."""
        self._check(self._library.rd_kafka_committed(self._handle, self._partitions, TIMEOUT_MS))
        elements = self._partitions.contents.elements
        return {elements[i].partition: elements[i].offset
                for i in range(self._partitions.contents.count)}
