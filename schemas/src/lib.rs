//! Avro schemas, record types, topic catalogue and codec.
