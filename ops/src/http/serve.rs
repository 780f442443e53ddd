//! The accept loop: HTTP/1.1 with the bounds that `axum::serve` does not set.
//!
//! - A connection that has not sent a whole request head within `header_timeout` is closed; so is an idle one.
//! - A client that does not read its answer for `write_timeout` is cut off.
//! - At `connections` open connections the one that has been idle longest makes room for the next.
//! - A head with both `Content-Length` and `Transfer-Encoding`, or with two lengths, is refused and the connection
//!   closed: hyper would silently prefer one, and a proxy in front may have preferred the other.
//! - After a refusal that left a body unread, what still arrives is read and dropped for a moment before the socket is
//!   closed; a reset would take the answer away from the client.
//!
//! Deliberately absent: HTTP/2 and TLS (a proxy's business), upgrades.

use super::sniff::{Heads, Sniffer};
use super::{HttpState, Limits, models};
use axum::Router;
use axum::body::Body;
use axum::http::header::{CONNECTION, CONTENT_TYPE};
use axum::http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// Largest request head: the request line and all headers.
const MAX_HEAD: usize = 32 << 10;
const MAX_HEADERS: usize = 100;
/// What is read of a body at a time.
const MAX_READ: usize = 128 << 10;
/// How long, and how much, a refused sender may go on sending.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 64 << 20;
/// A connection that has to make room may end what it is doing for this long.
const EVICTION: Duration = Duration::from_secs(1);

/// Serves until `shutdown`, then lets the requests that run finish, within the grace that the limits give.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    state: &HttpState,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let limits = state.limits.clone();
    let shared = Arc::new(state.clone());
    let open = Arc::new(Open::new(limits.connections));
    loop {
        let permit = tokio::select! {
            () = shutdown.cancelled() => break,
            permit = open.permit() => permit,
        };
        let stream = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of file descriptors, mostly: those that are open must end before there are new ones.
                    tracing::warn!(%error, "cannot accept a connection");
                    open.close_idlest();
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
        };
        let _ = stream.set_nodelay(true);
        let (id, conn) = open.enter();
        let (router, limits, open, shutdown) = (router.clone(), limits.clone(), open.clone(), shutdown.clone());
        let shared = shared.clone();
        let counters = state.counters.clone();
        counters.connected();
        tokio::spawn(async move {
            connection(stream, router, shared, &limits, &conn, &shutdown).await;
            counters.disconnected();
            open.leave(id);
            drop(permit);
        });
    }
    drop(listener);
    if tokio::time::timeout(limits.grace, open.all_closed()).await.is_err() {
        tracing::warn!("requests were still running when the grace period ended");
    }
    Ok(())
}

async fn connection(
    stream: TcpStream,
    router: Router,
    state: Arc<HttpState>,
    limits: &Limits,
    conn: &Arc<Conn>,
    shutdown: &CancellationToken,
) {
    let io = Io {
        stream,
        conn: conn.clone(),
        sniffer: Sniffer::new(conn.heads.clone()),
        drained: 0,
        until: None,
        write_timeout: limits.write_timeout,
        stuck: None,
    };
    let service = {
        let conn = conn.clone();
        hyper::service::service_fn(move |request: Request<Incoming>| {
            answer(router.clone(), state.clone(), conn.clone(), request)
        })
    };
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_headers(MAX_HEADERS)
        .max_header_size(MAX_HEAD)
        .max_buf_size(MAX_READ);
    let mut serving = std::pin::pin!(builder.serve_connection(TokioIo::new(io), service));
    let outcome = tokio::select! {
        outcome = serving.as_mut() => outcome,
        () = shutdown.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
        () = conn.evict.cancelled() => {
            serving.as_mut().graceful_shutdown();
            // Half a head is not idle to hyper; it is here.
            tokio::time::timeout(EVICTION, serving).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, "a connection ended badly");
    }
}

async fn answer(
    router: Router,
    state: Arc<HttpState>,
    conn: Arc<Conn>,
    mut request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    if conn.heads.ambiguous() {
        conn.linger.ask();
        let id = uuid::Uuid::new_v4().to_string();
        let message = "the request says twice how long it is: send Content-Length or Transfer-Encoding, once";
        let error = serde_json::json!({"error": {"code": "ambiguous_length", "message": message, "request_id": id}});
        let mut response = Response::new(Body::from(error.to_string()));
        response.headers_mut().insert(super::REQUEST_ID, HeaderValue::from_str(&id).expect("a UUID is ASCII"));
        *response.status_mut() = StatusCode::BAD_REQUEST;
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        return Ok(response);
    }
    let _busy = conn.clone().busy();
    request.extensions_mut().insert(conn.linger.clone());
    match models::ready::answer(&state, request).await {
        Ok(response) => Ok(response),
        Err(request) => router.oneshot(request).await,
    }
}

/// The connections that are open.
struct Open {
    slots: Arc<Semaphore>,
    capacity: usize,
    next: AtomicUsize,
    conns: Mutex<HashMap<usize, Arc<Conn>>>,
    closed: tokio::sync::Notify,
}

/// One connection, seen from the accept loop.
struct Conn {
    requests: AtomicUsize,
    began: Instant,
    /// When bytes last moved, in milliseconds since it began.
    active: AtomicU64,
    evict: CancellationToken,
    linger: Linger,
    heads: Arc<Heads>,
}

impl Conn {
    fn touch(&self) {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.active.store(now, Ordering::Relaxed);
    }

    fn busy(self: Arc<Self>) -> Busy {
        self.requests.fetch_add(1, Ordering::AcqRel);
        Busy(self)
    }
}

struct Busy(Arc<Conn>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.requests.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Open {
    fn new(capacity: usize) -> Self {
        let capacity = capacity.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            slots: Arc::new(Semaphore::new(capacity)),
            capacity,
            next: AtomicUsize::new(0),
            conns: Mutex::default(),
            closed: tokio::sync::Notify::new(),
        }
    }

    /// Room for one more; taken from the connection that has been idle longest, if there is none.
    async fn permit(&self) -> tokio::sync::OwnedSemaphorePermit {
        if let Ok(permit) = self.slots.clone().try_acquire_owned() {
            return permit;
        }
        self.close_idlest();
        self.slots.clone().acquire_owned().await.expect("the semaphore is never closed")
    }

    fn close_idlest(&self) {
        let conns = self.conns.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = conns.values().filter(|c| c.requests.load(Ordering::Acquire) == 0 && !c.evict.is_cancelled());
        let since = |c: &&Arc<Conn>| c.began + Duration::from_millis(c.active.load(Ordering::Relaxed));
        if let Some(conn) = idle.min_by_key(since) {
            conn.evict.cancel();
        }
    }

    fn enter(&self) -> (usize, Arc<Conn>) {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let conn = Arc::new(Conn {
            requests: AtomicUsize::new(0),
            began: Instant::now(),
            active: AtomicU64::new(0),
            evict: CancellationToken::new(),
            linger: Linger::default(),
            heads: Arc::default(),
        });
        self.conns.lock().unwrap_or_else(PoisonError::into_inner).insert(id, conn.clone());
        (id, conn)
    }

    fn leave(&self, id: usize) {
        self.conns.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        self.closed.notify_one();
    }

    async fn all_closed(&self) {
        while !self.conns.lock().unwrap_or_else(PoisonError::into_inner).is_empty() {
            self.closed.notified().await;
        }
        debug_assert!(self.slots.available_permits() <= self.capacity);
    }
}

/// Asks the connection to read on for a moment before it closes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Linger(Arc<AtomicBool>);

impl Linger {
    pub(crate) fn ask(&self) {
        self.0.store(true, Ordering::Release);
    }
}

/// A socket that lingers when asked to, does not wait for ever for its reader, and whose heads are looked at.
struct Io {
    stream: TcpStream,
    conn: Arc<Conn>,
    sniffer: Sniffer,
    drained: usize,
    until: Option<Pin<Box<tokio::time::Sleep>>>,
    write_timeout: Duration,
    stuck: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl Io {
    /// Fails a write that has been pending for too long.
    fn watch<T>(&mut self, cx: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.stuck = None;
            self.conn.touch();
            return outcome;
        }
        let timeout = self.write_timeout;
        let stuck = self.stuck.get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
        std::task::ready!(stuck.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read its answer")))
    }
}

impl AsyncRead for Io {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let outcome = Pin::new(&mut self.stream).poll_read(cx, buf);
        if let Poll::Ready(Ok(())) = &outcome {
            self.sniffer.see(&buf.filled()[before..]);
            self.conn.touch();
        }
        outcome
    }
}

impl AsyncWrite for Io {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.watch(cx, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.watch(cx, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.until.is_none() {
            std::task::ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
            if !this.conn.linger.0.load(Ordering::Acquire) {
                return Poll::Ready(Ok(()));
            }
            this.until = Some(Box::pin(tokio::time::sleep(LINGER)));
        }
        let mut scratch = [0; 8 << 10];
        loop {
            if this.until.as_mut().is_none_or(|until| until.as_mut().poll(cx).is_ready()) || this.drained > LINGER_BYTES
            {
                return Poll::Ready(Ok(()));
            }
            let mut buf = ReadBuf::new(&mut scratch);
            match Pin::new(&mut this.stream).poll_read(cx, &mut buf) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => this.drained += buf.filled().len(),
                Poll::Ready(_) => return Poll::Ready(Ok(())),
            }
        }
    }
}
