//! Access control lists.

use vigie_kafka_native::{Acl, Failure};

use super::{Admin, TIMEOUT};
use crate::error::KafkaError;

impl Admin {
    /// All entries of the cluster's access control lists, whoever they are for. Names are those on
    /// the wire.
    ///
    /// # Errors
    /// [`KafkaError::Fatal`] if we may not ask or the brokers have no authorizer,
    /// [`KafkaError::Unavailable`] if none answers.
    pub fn acls(&self) -> Result<Vec<Acl>, KafkaError> {
        let found = vigie_kafka_native::describe_acls(self.admin.inner(), TIMEOUT);
        found.map_err(|failure| self.refused("describe rights", failure))
    }

    /// Adds entries; those that are there stay as they are.
    ///
    /// # Errors
    /// As of [`Admin::acls`], at the first that is refused: others may have been added.
    pub fn create_acls(&self, acls: &[Acl]) -> Result<(), KafkaError> {
        if acls.is_empty() {
            return Ok(());
        }
        let created = vigie_kafka_native::create_acls(self.admin.inner(), acls, TIMEOUT);
        created.map_err(|failure| self.refused("give rights", failure))
    }

    /// Takes entries away; those that are not there are passed over.
    ///
    /// # Errors
    /// As of [`Admin::create_acls`].
    pub fn delete_acls(&self, acls: &[Acl]) -> Result<(), KafkaError> {
        if acls.is_empty() {
            return Ok(());
        }
        let deleted = vigie_kafka_native::delete_acls(self.admin.inner(), acls, TIMEOUT);
        deleted.map_err(|failure| self.refused("take rights away", failure))
    }

    fn refused(&self, operation: &'static str, Failure { code, detail }: Failure) -> KafkaError {
        match self.failed(operation, &rdkafka::error::KafkaError::Global(code)) {
            unavailable if unavailable.is_unavailable() => unavailable,
            _ => match KafkaError::from_code(operation, code, detail) {
                // A list has no state that could be read back.
                KafkaError::Restore { operation, detail } => KafkaError::Fatal { operation, detail },
                other => other,
            },
        }
    }
}
