//! What is answered, in the encoding of the request.

use crate::messages::{Answer, Failure, PartialSuccess};
use crate::{Encoding, Rejected};
use prost::Message;
use serde_json::json;

/// The body of a 200: all that was not rejected is taken.
pub fn accepted(encoding: Encoding, rejected: &Rejected) -> Vec<u8> {
    let partial = (rejected.count > 0).then(|| PartialSuccess {
        rejected_spans: i64::try_from(rejected.count).unwrap_or(i64::MAX),
        error_message: rejected.message(),
    });
    match (encoding, partial) {
        (Encoding::Protobuf, partial_success) => Answer { partial_success }.encode_to_vec(),
        (Encoding::Json, None) => b"{}".to_vec(),
        (Encoding::Json, Some(partial)) => {
            let PartialSuccess { rejected_spans, error_message } = partial;
            let partial = json!({"rejectedSpans": rejected_spans.to_string(), "errorMessage": error_message});
            json!({"partialSuccess": partial}).to_string().into_bytes()
        }
    }
}

/// The body of any other answer: a `google.rpc.Status`, whose code is left at 0 as the protocol recommends for HTTP.
pub fn failed(encoding: Encoding, message: &str) -> Vec<u8> {
    match encoding {
        Encoding::Protobuf => Failure { code: 0, message: message.to_owned() }.encode_to_vec(),
        Encoding::Json => json!({"message": message}).to_string().into_bytes(),
    }
}
