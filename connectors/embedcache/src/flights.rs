//! Calls that are under way: whoever wants what one of them will bring waits for it.

use crate::Key;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use stillhouse_schemas::model::ModelError;
use tokio::sync::watch;

/// What a call brought: a vector for each of its texts.
pub(crate) type Brought = Result<Arc<Vec<Arc<[f32]>>>, ModelError>;

/// A place in a call that is under way.
#[derive(Clone, Debug)]
pub(crate) struct Seat {
    call: watch::Receiver<Option<Brought>>,
    place: usize,
}

impl Seat {
    /// What the call brings for this place.
    pub(crate) async fn landed(mut self) -> Result<Arc<[f32]>, ModelError> {
        let lost = || ModelError::Unknown("the call for this text ended without a word; see the log".to_owned());
        let brought = self.call.wait_for(Option::is_some).await.map_err(|_| lost())?.clone();
        let vectors = brought.ok_or_else(lost)??;
        vectors.get(self.place).cloned().ok_or_else(lost)
    }
}

/// What is there after all, or where to wait for it.
pub(crate) type Boarded = Result<Arc<[f32]>, Seat>;

/// The calls that are under way, by what they will bring.
#[derive(Debug, Default)]
pub(crate) struct Flights(Mutex<HashMap<Key, Seat>>);

/// A call that somebody has to make. Dropped without an answer, it fails those that wait.
#[derive(Debug)]
pub(crate) struct Flight {
    flights: Arc<Flights>,
    pub(crate) keys: Vec<Key>,
    tell: watch::Sender<Option<Brought>>,
}

impl Flights {
    /// A seat for every key: in calls under way, or in the one that is returned and has to be made. `landed` looks once
    /// more whether a key needs no call any more.
    pub(crate) fn board(
        self: &Arc<Self>,
        keys: &[Key],
        landed: impl Fn(&Key) -> Option<Arc<[f32]>>,
    ) -> (Vec<Boarded>, Option<Flight>) {
        let mut flights = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (tell, call) = watch::channel(None);
        let mut mine = Vec::new();
        let seats = keys.iter().map(|key| {
            if let Some(seat) = flights.get(key) {
                return Err(seat.clone());
            }
            // A call keeps what it brought before it is over: what is neither here nor there was never asked for.
            if let Some(vector) = landed(key) {
                return Ok(vector);
            }
            let seat = Seat { call: call.clone(), place: mine.len() };
            flights.insert(*key, seat.clone());
            mine.push(*key);
            Err(seat)
        });
        let seats = seats.collect();
        drop(flights);
        let flight = (!mine.is_empty()).then(|| Flight { flights: self.clone(), keys: mine, tell });
        (seats, flight)
    }
}

impl Flight {
    /// Tells those that wait.
    pub(crate) fn land(self, brought: Brought) {
        self.tell.send_replace(Some(brought));
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let mut flights = self.flights.0.lock().unwrap_or_else(PoisonError::into_inner);
        for key in &self.keys {
            flights.remove(key);
        }
    }
}
