//! A TCP proxy in front of a broker that understands as much of the protocol as it takes to do harm: it can hold one
//! request, cut its connection, and hand it to the broker later; and it can freeze one client.

use std::sync::{Arc, Mutex, MutexGuard};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Keys of requests.
pub(crate) const PRODUCE: i16 = 0;
pub(crate) const END_TXN: i16 = 26;

pub(crate) struct Proxy {
    broker: u16,
    plan: Arc<Mutex<Plan>>,
    frozen: watch::Sender<Vec<u8>>,
}

#[derive(Default)]
struct Plan {
    /// Requests count only if they contain this: a transactional id.
    marker: Vec<u8>,
    hold: bool,
    held: Option<Vec<u8>>,
    /// Release when so many requests of this kind have come after the one that is held.
    release_at: Option<(i16, usize)>,
    seen: usize,
    /// What the broker answered to the late request.
    answer: Option<i16>,
    /// Freeze the client of this name at its next request of this kind.
    freeze_at: Option<(Vec<u8>, i16)>,
}

enum Step {
    Forward,
    Cut,
    Release(Vec<u8>),
}

impl Proxy {
    /// Listens on a port for a broker that sends its clients there.
    pub(crate) async fn start(listener: TcpListener, broker: u16) -> Arc<Self> {
        let proxy = Arc::new(Self { broker, plan: Arc::default(), frozen: watch::channel(Vec::new()).0 });
        let serving = proxy.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let proxy = serving.clone();
                tokio::spawn(async move { proxy.serve(client).await });
            }
        });
        proxy
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().expect("no test panics in here")
    }

    /// Holds the next `EndTxn` with this marker, and releases it when the `count`th request `key` after it comes.
    pub(crate) fn delay_end(&self, marker: &str, key: i16, count: usize) {
        let marker = marker.as_bytes().to_vec();
        *self.plan() = Plan { marker, hold: true, release_at: Some((key, count)), ..Plan::default() };
    }

    /// What the broker answered to the late request, if it was released.
    pub(crate) fn answer(&self) -> Option<i16> {
        self.plan().answer
    }

    /// From now on nothing passes from or to the client of this name.
    pub(crate) fn freeze(&self, client: &str) {
        self.frozen.send_replace(client.as_bytes().to_vec());
    }

    /// The same, from its next request of this kind on.
    pub(crate) fn freeze_at(&self, client: &str, key: i16) {
        self.plan().freeze_at = Some((client.as_bytes().to_vec(), key));
    }

    pub(crate) fn thaw(&self) {
        self.frozen.send_replace(Vec::new());
    }

    pub(crate) fn is_frozen(&self) -> bool {
        !self.frozen.borrow().is_empty()
    }

    async fn serve(&self, client: TcpStream) {
        let Ok(broker) = TcpStream::connect(("127.0.0.1", self.broker)).await else { return };
        let (from_client, to_client) = client.into_split();
        let (from_broker, to_broker) = broker.into_split();
        let (label, seen) = watch::channel(Vec::new());
        let (answered, answers) = watch::channel(0);
        // The end of one direction is the end of both.
        tokio::select! {
            () = self.requests(from_client, to_broker, &label, answers) => {}
            () = self.responses(from_broker, to_client, seen, &answered) => {}
        }
    }

    async fn requests(
        &self,
        mut from: OwnedReadHalf,
        mut to: OwnedWriteHalf,
        label: &watch::Sender<Vec<u8>>,
        mut answers: watch::Receiver<usize>,
    ) {
        let mut sent = 0;
        while let Some(frame) = read_frame(&mut from).await {
            label.send_if_modified(|known| {
                let unknown = known.is_empty();
                if unknown {
                    *known = client_of(&frame);
                }
                unknown
            });
            let client = label.borrow().clone();
            self.check_freeze(&client, &frame);
            self.thawed(&client).await;
            let step = self.step(&frame);
            match step {
                Step::Forward => {}
                Step::Cut => return,
                Step::Release(held) => {
                    // What came before on this connection has taken effect.
                    drop(answers.wait_for(|answered| *answered >= sent).await);
                    let answer = self.release(&held).await;
                    self.plan().answer = Some(answer);
                }
            }
            sent += 1;
            if to.write_all(&frame).await.is_err() {
                return;
            }
        }
    }

    async fn responses(
        &self,
        mut from: OwnedReadHalf,
        mut to: OwnedWriteHalf,
        label: watch::Receiver<Vec<u8>>,
        answered: &watch::Sender<usize>,
    ) {
        while let Some(frame) = read_frame(&mut from).await {
            let client = label.borrow().clone();
            self.thawed(&client).await;
            if to.write_all(&frame).await.is_err() {
                return;
            }
            answered.send_modify(|count| *count += 1);
        }
    }

    fn check_freeze(&self, client: &[u8], frame: &[u8]) {
        let mut plan = self.plan();
        if plan.freeze_at.take_if(|(name, key)| name == client && key_of(frame) == *key).is_some() {
            self.frozen.send_replace(client.to_vec());
        }
    }

    async fn thawed(&self, client: &[u8]) {
        let mut frozen = self.frozen.subscribe();
        drop(frozen.wait_for(|name| name.is_empty() || name != client).await);
    }

    fn step(&self, frame: &[u8]) -> Step {
        let mut plan = self.plan();
        if plan.marker.is_empty() || !frame.windows(plan.marker.len()).any(|part| part == plan.marker) {
            return Step::Forward;
        }
        if plan.hold && key_of(frame) == END_TXN {
            plan.hold = false;
            plan.held = Some(frame.to_vec());
            return Step::Cut;
        }
        let Some((key, count)) = plan.release_at else { return Step::Forward };
        if plan.held.is_some() && key_of(frame) == key {
            plan.seen += 1;
            if plan.seen == count {
                return plan.held.take().map_or(Step::Forward, Step::Release);
            }
        }
        Step::Forward
    }

    /// Hands the late request to the broker, on a connection of its own, and waits for the answer.
    async fn release(&self, frame: &[u8]) -> i16 {
        let mut broker = TcpStream::connect(("127.0.0.1", self.broker)).await.expect("the broker is there");
        broker.write_all(frame).await.expect("the broker reads");
        // Length, correlation, throttle time, error: EndTxn up to version 2.
        let mut answer = [0; 14];
        broker.read_exact(&mut answer).await.expect("the broker answers");
        i16::from_be_bytes([answer[12], answer[13]])
    }
}

async fn read_frame(from: &mut OwnedReadHalf) -> Option<Vec<u8>> {
    let mut length = [0; 4];
    from.read_exact(&mut length).await.ok()?;
    let size = usize::try_from(u32::from_be_bytes(length)).ok().filter(|size| *size < 64 << 20)?;
    let mut frame = vec![0; 4 + size];
    frame[..4].copy_from_slice(&length);
    from.read_exact(&mut frame[4..]).await.ok()?;
    Some(frame)
}

fn key_of(frame: &[u8]) -> i16 {
    i16::from_be_bytes([frame[4], frame[5]])
}

/// The client's name: every request says it, behind key, version and correlation.
fn client_of(frame: &[u8]) -> Vec<u8> {
    let Some(length) = frame.get(12..14) else { return Vec::new() };
    let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
    frame.get(14..14 + length).map(<[u8]>::to_vec).unwrap_or_default()
}
