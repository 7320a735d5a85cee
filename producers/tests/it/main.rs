//! Tests of the producers against real answers, a real HTTP server and a real Kafka.

mod recorded;
