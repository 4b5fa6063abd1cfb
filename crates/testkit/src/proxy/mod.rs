//! A proxy on loopback, before a server that speaks as DynamoDB or S3 does, that does to requests
//! what networks and busy services do: what servers made for tests never do by themselves.
//!
//! Invariant: every fault comes from the plan's seed and the request's number, from nothing else.

mod batch;
mod hold;
mod message;
mod plan;
mod stale;

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::header::{CONTENT_LENGTH, HeaderName, IF_MATCH, IF_NONE_MATCH, TRANSFER_ENCODING};
use hyper::service::service_fn;
use hyper::{Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Barrier, oneshot};

pub use hold::{Hold, Moment};
pub use message::Seen;
pub use plan::{Conditions, Plan};

use hold::Traps;
use message::Answer;
use plan::{Before, Fate};

/// How many requests pass where nothing is to be cut.
const ENDLESS: u64 = u64::MAX;

/// A proxy that runs until this is dropped, on a thread of its own.
#[derive(Debug)]
pub struct Proxy {
    url: String,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    /// The server's host and port.
    server: String,
    plan: Mutex<Plan>,
    requests: AtomicU64,
    left: AtomicU64,
    told: stale::Told,
    traps: Traps,
    races: Mutex<HashMap<String, Arc<Barrier>>>,
}

/// A connection ends without an answer.
#[derive(Debug)]
pub(crate) struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("closed without an answer")
    }
}

impl std::error::Error for Closed {}

impl From<hyper::Error> for Closed {
    fn from(_: hyper::Error) -> Self {
        Self
    }
}

impl Proxy {
    /// Starts a proxy before a server, `http://HOST:PORT`.
    pub fn start(server: &str, plan: Plan) -> Self {
        let server = server.strip_prefix("http://").expect("a server without TLS");
        let shared = Arc::new(Shared {
            server: server.trim_end_matches('/').to_owned(),
            plan: Mutex::new(plan),
            requests: AtomicU64::new(0),
            left: AtomicU64::new(ENDLESS),
            told: stale::Told::default(),
            traps: Traps::default(),
            races: Mutex::default(),
        });
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        listener.set_nonblocking(true).expect("a socket that does not block");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let (stop, stopped) = oneshot::channel();
        let served = shared.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                let listener = TcpListener::from_std(listener).expect("a listener");
                tokio::select! {
                    () = serve(listener, served) => {}
                    _ = stopped => {}
                }
            });
        });
        Self { url, shared, stop: Some(stop), thread: Some(thread) }
    }

    /// Returns what stands for the server's URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Follows another plan from now on.
    pub fn follow(&self, plan: Plan) {
        *self.shared.plan.lock().unwrap_or_else(PoisonError::into_inner) = plan;
    }

    /// Returns how many requests have come in.
    pub fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::SeqCst)
    }

    /// Lets so many more requests pass and closes all that follow, as where a client is killed
    /// between two of them.
    pub fn cut_after(&self, more: u64) {
        self.shared.left.store(more, Ordering::SeqCst);
    }

    /// Lets requests pass again.
    pub fn heal(&self) {
        self.cut_after(ENDLESS);
    }

    /// Holds the next request for which `when` says yes.
    pub fn hold(&self, moment: Moment, when: impl Fn(&Seen) -> bool + Send + 'static) -> Hold {
        self.shared.traps.add(moment, when)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let shared = shared.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let shared = shared.clone();
                async move { shared.handle(request).await }
            });
            let connection = hyper::server::conn::http1::Builder::new();
            // A connection that was closed on purpose is no error of the proxy's.
            let _ = connection.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

impl Shared {
    async fn handle(
        &self,
        request: hyper::Request<hyper::body::Incoming>,
    ) -> Result<Response<Full<Bytes>>, Closed> {
        let number = self.requests.fetch_add(1, Ordering::SeqCst);
        let seen = Seen::take(number, request).await?;
        let pass = |left| if left == ENDLESS { Some(left) } else { u64::checked_sub(left, 1) };
        self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, pass).map_err(|_| Closed)?;
        let plan = self.plan.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut fate = plan.fate(number);
        tokio::time::sleep(fate.delay).await;
        self.traps.pass(Moment::Before, &seen).await?;
        let answer = match fate.before {
            Some(Before::Closed) => return Err(Closed),
            Some(Before::Denied) => message::denied(&seen),
            Some(Before::Throttled) => message::throttled(&seen, &mut fate.random),
            Some(Before::Broken) => message::broken(&seen),
            None => self.answer(&seen, &plan, &mut fate).await?,
        };
        self.traps.pass(Moment::After, &seen).await?;
        match fate.dropped {
            true => Err(Closed),
            false => Ok(answer.map(Full::new)),
        }
    }

    async fn answer(&self, seen: &Seen, plan: &Plan, fate: &mut Fate) -> Result<Answer, Closed> {
        if fate.stale
            && let Some(answer) = self.told.before(seen)
        {
            return Ok(answer);
        }
        if fate.unprocessed
            && let Some(cut) = batch::cut(seen, &mut fate.random)
        {
            let Some(sent) = &cut.sent else {
                return Ok(message::json(StatusCode::OK, &cut.nothing()));
            };
            return Ok(cut.told(self.send(sent).await?));
        }
        let is_write = matches!(seen.method.as_str(), "PUT" | "DELETE");
        let answer = match &plan.conditions {
            Conditions::Ignored if is_write => self.send(&without_conditions(seen)).await?,
            Conditions::Raced { many, of } if is_write && seen.path.contains(of) => {
                self.race(seen, *many).await?
            }
            _ => self.send(seen).await?,
        };
        self.told.note(seen, &answer);
        Ok(answer)
    }

    /// Looks, waits until enough others have looked too, and writes whatever they do.
    async fn race(&self, seen: &Seen, many: usize) -> Result<Answer, Closed> {
        if !seen.headers.contains_key(IF_NONE_MATCH) {
            return self.send(seen).await;
        }
        let mut look = without_conditions(seen);
        look.method = "HEAD".to_owned();
        look.body = Bytes::new();
        if self.send(&look).await?.status().is_success() {
            let status = StatusCode::PRECONDITION_FAILED;
            return Ok(message::storage(status, "PreconditionFailed", "it is there"));
        }
        let barrier = {
            let mut races = self.races.lock().unwrap_or_else(PoisonError::into_inner);
            races.entry(seen.path.clone()).or_insert_with(|| Arc::new(Barrier::new(many))).clone()
        };
        barrier.wait().await;
        self.send(&without_conditions(seen)).await
    }

    /// Sends a request on, over a connection of its own.
    async fn send(&self, seen: &Seen) -> Result<Answer, Closed> {
        let stream = TcpStream::connect(&self.server).await.map_err(|_| Closed)?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let (mut head, body) = sender.send_request(seen.request()).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        // The body is whole now; of an answer to HEAD, the length is all that is told of it.
        head.headers.remove(TRANSFER_ENCODING);
        if !body.is_empty() {
            head.headers.remove(CONTENT_LENGTH);
        }
        Ok(Response::from_parts(head, body))
    }
}

fn without_conditions(seen: &Seen) -> Seen {
    const CONDITIONS: [HeaderName; 2] = [IF_MATCH, IF_NONE_MATCH];
    let mut seen = seen.clone();
    for name in CONDITIONS {
        seen.headers.remove(name);
    }
    seen
}
