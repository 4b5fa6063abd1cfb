//! A table of a DynamoDB server's, asked past restow: one operation, as plain HTTP.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

/// Servers made for tests want a signature, and take any.
const HEADERS: &str = concat!(
    "Content-Type: application/x-amz-json-1.0\r\nConnection: close\r\nX-Amz-Date: 20260101T000000Z",
    "\r\nAuthorization: AWS4-HMAC-SHA256 Credential=any/20260101/us-east-1/dynamodb/aws4_request, ",
    "SignedHeaders=host, Signature=0\r\n",
);

/// Reads every item that has an attribute, from `TABLE?endpoint=http://HOST:PORT`.
pub(super) fn items_with(attribute: &str, place: &str) -> Vec<Value> {
    let (table, server) = place.split_once("?endpoint=http://").expect("a table on a server");
    let (mut items, mut from) = (Vec::new(), Value::Null);
    loop {
        let mut request = json!({
            "TableName": table,
            "ConsistentRead": true,
            "FilterExpression": "attribute_exists(#a)",
            "ExpressionAttributeNames": { "#a": attribute },
        });
        if !from.is_null() {
            request["ExclusiveStartKey"] = from;
        }
        let mut answer = asked(server, "Scan", &request.to_string());
        let some = answer["Items"].take();
        items.extend(some.as_array().cloned().expect("items"));
        from = answer["LastEvaluatedKey"].take();
        if from.is_null() {
            return items;
        }
    }
}

/// Returns the text or the number of an attribute.
pub(super) fn text_of<'i>(item: &'i Value, name: &str) -> Option<&'i str> {
    item[name]["S"].as_str().or_else(|| item[name]["N"].as_str())
}

/// Returns the bytes of an attribute.
pub(super) fn bytes_of(item: &Value, name: &str) -> Option<Vec<u8>> {
    BASE64_STANDARD.decode(item[name]["B"].as_str()?).ok()
}

fn asked(server: &str, operation: &str, body: &str) -> Value {
    let mut stream = TcpStream::connect(server).expect("the server");
    let target = format!("X-Amz-Target: DynamoDB_20120810.{operation}");
    let length = body.len();
    let head = format!("POST / HTTP/1.1\r\nHost: {server}\r\n{target}\r\n{HEADERS}");
    write!(stream, "{head}Content-Length: {length}\r\n\r\n{body}").expect("a request");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
    let text = String::from_utf8_lossy(&answer);
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    serde_json::from_slice(&answer[end + 4..]).expect("an answer in JSON")
}
