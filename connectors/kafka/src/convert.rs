//! Records as Kafka's messages, and back.

use bytes::Bytes;
use rdkafka::Message;
use rdkafka::message::{BorrowedHeaders, BorrowedMessage, Header, Headers as _, OwnedHeaders, Timestamp};
use stillhouse_streams::{Headers, Record};

/// librdkafka takes a timestamp of 0 for "now". "None" stands for it on the wire, and comes back as 0.
const NO_TIMESTAMP: i64 = -1;

pub(crate) fn timestamp_out(timestamp: i64) -> i64 {
    if timestamp == 0 { NO_TIMESTAMP } else { timestamp }
}

pub(crate) fn headers_out(headers: &Headers) -> Option<OwnedHeaders> {
    if headers.encoded().is_empty() {
        return None;
    }
    let empty = OwnedHeaders::new_with_capacity(headers.iter().count());
    Some(headers.iter().fold(empty, |out, (key, value)| out.insert(Header { key, value })))
}

pub(crate) fn record_in(message: &BorrowedMessage<'_>) -> Record {
    Record {
        key: message.key().map(Bytes::copy_from_slice),
        value: message.payload().map(Bytes::copy_from_slice),
        headers: message.headers().map(headers_in).unwrap_or_default(),
        timestamp: match message.timestamp() {
            Timestamp::NotAvailable => 0,
            Timestamp::CreateTime(ms) | Timestamp::LogAppendTime(ms) => ms,
        },
    }
}

/// Names that are no UTF-8, or too long for us, come from foreign producers; such headers are left out.
fn headers_in(headers: &BorrowedHeaders) -> Headers {
    let named = (0..headers.count()).filter_map(|index| header(headers, index));
    Headers::from_pairs(named.filter(|(name, _)| name.len() <= usize::from(u16::MAX)))
}

/// `BorrowedHeaders::try_get` panics on a name that is no UTF-8, which any foreign producer may send.
#[expect(unsafe_code, reason = "the safe interface panics on names that are no UTF-8")]
fn header(headers: &BorrowedHeaders, index: usize) -> Option<(&str, Option<&[u8]>)> {
    use rdkafka::bindings;
    let (mut name, mut value, mut size) = (std::ptr::null(), std::ptr::null(), 0);
    let native = std::ptr::from_ref(headers).cast::<bindings::rd_kafka_headers_t>();
    // SAFETY: a `BorrowedHeaders` is only ever a reference to native headers (rdkafka's `message.rs`), which live as
    // long as the reference; name and value point into them, and the name ends with a zero byte.
    unsafe {
        let answer = bindings::rd_kafka_header_get_all(native, index, &mut name, &mut value, &mut size);
        if answer != bindings::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return None;
        }
        let name = std::ffi::CStr::from_ptr(name).to_str().ok()?;
        let value = (!value.is_null()).then(|| std::slice::from_raw_parts(value.cast::<u8>(), size));
        Some((name, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_survive_the_way_there_and_back() {
        let long = vec![7; 300];
        let pairs: [(&str, Option<&[u8]>); 4] = [("a", Some(b"1")), ("a", Some(b"")), ("n", None), ("l", Some(&long))];
        let headers = Headers::from_pairs(pairs);
        let native = headers_out(&headers).expect("there are some");
        assert_eq!(headers_in(native.as_borrowed()), headers);
        assert!(headers_out(&Headers::default()).is_none());
    }
}
