//! What Kafka says, as instructions to the caller.

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use stillhouse_streams::{Error, ErrorKind};

/// An error of a call that wrote nothing.
pub(crate) fn fail(doing: &str, error: &KafkaError) -> Error {
    Error::new(kind(error), format!("{doing}: {}", sentence(error)))
}

/// The same, where only a code is known.
pub(crate) fn fail_code(doing: &str, code: Code) -> Error {
    Error::new(kind_of(code), format!("{doing}: {code}"))
}

/// What to do about an error of a call that wrote nothing.
pub(crate) fn kind(error: &KafkaError) -> ErrorKind {
    match error {
        KafkaError::ClientConfig(..) | KafkaError::Nul(_) | KafkaError::ClientCreation(_) => ErrorKind::Invalid,
        KafkaError::AdminOpCreation(_) => ErrorKind::Invalid,
        KafkaError::Canceled => ErrorKind::Closed,
        KafkaError::AdminOp(code) => kind_of(*code),
        other => other.rdkafka_error_code().map_or(ErrorKind::Retry, kind_of),
    }
}

/// The sentence, without the value of a property: it may be a secret.
fn sentence(error: &KafkaError) -> String {
    match error {
        KafkaError::ClientConfig(_, _, key, _) => format!("property `{key}` is unknown or has an impossible value"),
        KafkaError::Transaction(error) => error.string(),
        other => other.to_string(),
    }
}

pub(crate) fn kind_of(code: Code) -> ErrorKind {
    match code {
        Code::BrokerTransportFailure
        | Code::AllBrokersDown
        | Code::Resolve
        | Code::OperationTimedOut
        | Code::TimedOutQueue
        | Code::MessageTimedOut
        | Code::RequestTimedOut
        | Code::BrokerNotAvailable
        | Code::CoordinatorNotAvailable
        | Code::NetworkException
        | Code::WaitingForCoordinator
        | Code::Authentication
        | Code::SaslAuthenticationFailed
        | Code::SSL => ErrorKind::Unavailable,
        Code::UnknownTopicOrPartition
        | Code::UnknownTopic
        | Code::UnknownPartition
        | Code::GroupIdNotFound
        | Code::OffsetOutOfRange
        | Code::AutoOffsetReset
        | Code::NoOffset => ErrorKind::NotFound,
        Code::MessageSizeTooLarge | Code::MessageBatchTooLarge => ErrorKind::TooLarge,
        Code::KafkaStorageError => ErrorKind::Full,
        Code::InvalidTimestamp
        | Code::InvalidTopic
        | Code::InvalidRecord
        | Code::InvalidConfig
        | Code::InvalidPartitions
        | Code::InvalidReplicationFactor
        | Code::InvalidSessionTimeout
        | Code::InvalidTransactionTimeout
        | Code::InvalidRequest
        | Code::InvalidArgument
        | Code::InconsistentGroupProtocol
        | Code::InvalidGroupId
        | Code::PolicyViolation
        | Code::UnsupportedVersion
        | Code::TopicAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::TransactionalIdAuthorizationFailed => ErrorKind::Invalid,
        code if fences(code) => ErrorKind::Fenced,
        _ => ErrorKind::Retry,
    }
}

/// Whether the group has gone on without this member.
pub(crate) fn fences(code: Code) -> bool {
    matches!(
        code,
        Code::IllegalGeneration
            | Code::UnknownMemberId
            | Code::RebalanceInProgress
            | Code::FencedInstanceId
            | Code::AssignmentLost
            | Code::PollExceeded
            | Code::NonEmptyGroup
    )
}

/// Whether the broker refused the records themselves: the same ones will be refused again.
pub(crate) fn refuses(code: Code) -> bool {
    matches!(kind_of(code), ErrorKind::Invalid | ErrorKind::TooLarge | ErrorKind::NotFound)
}
