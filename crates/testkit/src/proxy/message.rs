//! Requests and answers as the proxy holds them: whole, so that they can be looked at and changed.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Request, Response, StatusCode};
use serde_json::Value;

use crate::generate::random::Random;

/// A request that has come in, with its number and what it asks for.
#[derive(Clone, Debug)]
pub struct Seen {
    /// How many came before it.
    pub number: u64,
    /// The method of HTTP.
    pub method: String,
    /// The path, and the query behind it.
    pub path: String,
    /// DynamoDB's operation, such as `PutItem`; empty where it is another service.
    pub operation: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Seen {
    pub(super) async fn take(number: u64, request: Request<Incoming>) -> hyper::Result<Self> {
        let (head, body) = request.into_parts();
        let target = head.headers.get("x-amz-target").and_then(|value| value.to_str().ok());
        let operation = target.and_then(|target| target.rsplit('.').next()).unwrap_or_default();
        Ok(Self {
            number,
            method: head.method.to_string(),
            path: head.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
            operation: operation.to_owned(),
            headers: head.headers,
            body: body.collect().await?.to_bytes(),
        })
    }

    /// Whether it is DynamoDB's, rather than that of object storage.
    pub fn is_dynamodb(&self) -> bool {
        !self.operation.is_empty()
    }

    pub(super) fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// Makes it a request to send on.
    pub(super) fn request(&self) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.parse().expect("a method that came in goes out");
        *request.uri_mut() = self.path.parse().expect("a path that came in goes out");
        *request.headers_mut() = self.headers.clone();
        request.headers_mut().remove(CONTENT_LENGTH);
        request
    }
}

/// A whole answer.
pub(super) type Answer = Response<Bytes>;

/// Changes the body of an answer, and what its headers say of the old one.
pub(super) fn with_json(mut answer: Answer, body: &Value) -> Answer {
    *answer.body_mut() = body.to_string().into();
    for name in ["content-length", "x-amz-crc32"] {
        answer.headers_mut().remove(name);
    }
    answer
}

/// An answer of DynamoDB's, made here.
pub(super) fn json(status: StatusCode, body: &Value) -> Answer {
    made(status, "application/x-amz-json-1.0", body.to_string())
}

fn made(status: StatusCode, kind: &'static str, body: String) -> Answer {
    let mut answer = Response::new(body.into());
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    answer.headers_mut().insert("x-amzn-requestid", HeaderValue::from_static("MADE-BY-A-PLAN"));
    answer
}

/// What a service says to whom a right is missing.
pub(super) fn denied(seen: &Seen) -> Answer {
    if !seen.is_dynamodb() {
        return storage(StatusCode::FORBIDDEN, "AccessDenied", "access denied");
    }
    let message = format!("User: me is not authorized to perform: dynamodb:{}", seen.operation);
    let name = "com.amazon.coral.service#AccessDeniedException";
    let body = serde_json::json!({"__type": name, "Message": message, "message": message});
    json(StatusCode::BAD_REQUEST, &body)
}

/// What a service says to too many requests; DynamoDB names one of its reasons.
pub(super) fn throttled(seen: &Seen, random: &mut Random) -> Answer {
    const READS: [&str; 6] =
        ["GetItem", "BatchGetItem", "TransactGetItems", "Query", "Scan", "DescribeTable"];
    const LIMITS: [&str; 4] = [
        "ProvisionedThroughputExceeded",
        "KeyRangeThroughputExceeded",
        "AccountLimitExceeded",
        "MaxOnDemandThroughputExceeded",
    ];
    if !seen.is_dynamodb() {
        return storage(StatusCode::SERVICE_UNAVAILABLE, "SlowDown", "reduce your request rate");
    }
    let way = if READS.contains(&seen.operation.as_str()) { "Read" } else { "Write" };
    let limit = LIMITS[random.below(LIMITS.len() as u64) as usize];
    let reasons = serde_json::json!([{
        "reason": format!("Table{way}{limit}"),
        "resource": "arn:aws:dynamodb:us-east-1:000000000000:table/made-by-a-plan",
    }]);
    let message = format!("Throughput exceeds the current capacity: {limit}");
    // The two spell their list of reasons differently.
    let (name, list) = match limit {
        "ProvisionedThroughputExceeded" => (
            "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException",
            "ThrottlingReasons",
        ),
        _ => ("com.amazonaws.dynamodb.v20120810#ThrottlingException", "throttlingReasons"),
    };
    let body = serde_json::json!({"__type": name, "message": message, list: reasons});
    json(StatusCode::BAD_REQUEST, &body)
}

/// What a service says when it is at fault itself.
pub(super) fn broken(seen: &Seen) -> Answer {
    if !seen.is_dynamodb() {
        return storage(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", "made by a plan");
    }
    let body = serde_json::json!({
        "__type": "com.amazonaws.dynamodb.v20120810#InternalServerError",
        "message": "made by a plan",
    });
    json(StatusCode::INTERNAL_SERVER_ERROR, &body)
}

/// An error of object storage.
pub(super) fn storage(status: StatusCode, code: &str, message: &str) -> Answer {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code>\
         <Message>{message}</Message><RequestId>MADE-BY-A-PLAN</RequestId></Error>"
    );
    made(status, "application/xml", body)
}
