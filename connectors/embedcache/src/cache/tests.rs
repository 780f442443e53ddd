//! The cache before a model that counts how often it is asked.

use super::*;
use crate::Answers;
use ::bytes::Bytes;
use std::sync::atomic::Ordering::SeqCst;
use stillhouse_schemas::model::Embedder;
use tokio::sync::Semaphore;

const URI: &str = "counting:";

/// Makes of each text its length and the number of the call. Waits for a permit per call; `refuse` and `panic` do as they say.
#[derive(Debug)]
struct Counting {
    calls: AtomicU64,
    texts: AtomicU64,
    gate: Semaphore,
    version: Mutex<String>,
}

impl Counting {
    fn new(permits: usize) -> Arc<Self> {
        Arc::new(Self {
            calls: AtomicU64::new(0),
            texts: AtomicU64::new(0),
            gate: Semaphore::new(permits),
            version: Mutex::new("a".into()),
        })
    }
}

#[async_trait]
impl Embedder for Counting {
    fn provider(&self) -> &str {
        "counting"
    }

    fn name(&self) -> &str {
        "c"
    }

    async fn version(&self) -> Result<String, ModelError> {
        Ok(self.version.lock().unwrap().clone())
    }

    async fn embed(&self, texts: &[&str]) -> Result<Embeddings, ModelError> {
        let call = self.calls.fetch_add(1, SeqCst) + 1;
        self.texts.fetch_add(texts.len() as u64, SeqCst);
        self.gate.acquire().await.unwrap().forget();
        assert!(!texts.contains(&"panic"), "as it was told");
        if texts.contains(&"refuse") {
            return Err(ModelError::Never("refused".into()));
        }
        let vectors = texts.iter().map(|text| vec![text.len() as f32, call as f32].into()).collect();
        Ok(Embeddings { vectors, version: self.version().await?, ..Embeddings::default() })
    }
}

fn cache(embedder: &Arc<Counting>, bytes: u64, shelf: Option<Arc<dyn Shelf>>) -> EmbedCache {
    let embedder = embedder.clone();
    EmbedCache::new(bytes, shelf, move |uri| match uri {
        URI => Ok(Opened { embedder: embedder.clone(), worth_a_disk: true, may_change: true }),
        _ => Err(format!("no {uri}")),
    })
}

async fn one(cache: &EmbedCache, text: &str) -> Result<Vec<f32>, ModelError> {
    Ok(cache.embed(URI, &[text]).await?.vectors[0].to_vec())
}

/// Until so many texts wait for somebody else's call: nothing tells it but the count.
async fn joined(cache: &EmbedCache, texts: u64) {
    while cache.figures().joined < texts {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn many_who_want_one_text_make_one_call_that_outlives_the_first() {
    let embedder = Counting::new(0);
    let cache = cache(&embedder, 1 << 20, None);
    let first = tokio::spawn({
        let cache = cache.clone();
        async move { one(&cache, "text").await }
    });
    while embedder.calls.load(SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    let others: Vec<_> = (0..50)
        .map(|_| {
            let cache = cache.clone();
            tokio::spawn(async move { cache.embed(URI, &["other", "text", "other"]).await })
        })
        .collect();
    joined(&cache, 50).await;
    first.abort();
    embedder.gate.add_permits(100);
    for other in others {
        let vectors = other.await.unwrap().unwrap().vectors;
        assert_eq!((vectors.len(), vectors[1].to_vec()), (3, vec![4.0, 1.0]));
        assert_eq!(vectors[0], vectors[2]);
    }
    assert_eq!(
        (embedder.calls.load(SeqCst), embedder.texts.load(SeqCst)),
        (2, 2),
        "once each, twice in one request too"
    );
    assert_eq!(one(&cache, "text").await.unwrap(), [4.0, 1.0]);
    let figures = cache.figures();
    assert_eq!((figures.misses, figures.calls, figures.failed, figures.vectors), (2, 2, 0, 2));
    assert_eq!(figures.hits, 1);
}

#[tokio::test]
async fn a_failure_fails_all_who_wait_and_is_not_kept() {
    for (text, says) in [("refuse", "refused"), ("panic", "without a word")] {
        let embedder = Counting::new(0);
        let cache = cache(&embedder, 1 << 20, None);
        let waiting: Vec<_> = (0..3)
            .map(|_| {
                let cache = cache.clone();
                tokio::spawn(async move { one(&cache, text).await })
            })
            .collect();
        joined(&cache, 2).await;
        embedder.gate.add_permits(100);
        for waits in waiting {
            let error = waits.await.unwrap().unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
        one(&cache, text).await.unwrap_err();
        assert_eq!(embedder.calls.load(SeqCst), 2, "it is asked again");
        one(&cache, "fine").await.unwrap();
    }
    let none = cache(&Counting::new(1), 1 << 20, None).embed("other:", &["x"]).await.unwrap_err();
    assert_eq!(none, ModelError::Never("no other:".into()));
}

#[tokio::test]
async fn bytes_are_bounded_and_what_is_used_is_not_pushed_out_by_what_is_seen_once() {
    let embedder = Counting::new(1 << 20);
    let cache = cache(&embedder, 120_000, None);
    let used: Vec<String> = (0..100).map(|n| format!("used {n}")).collect();
    let mut again = 0;
    for round in 0..200 {
        for text in &used {
            one(&cache, text).await.unwrap();
        }
        again = embedder.texts.load(SeqCst) - 100 - round * 50;
        for n in 0..50 {
            one(&cache, &format!("seen once {round} {n}")).await.unwrap();
        }
        assert!(cache.figures().bytes <= 120_000);
    }
    // 1,000 fit; 10,000 came by.
    assert!(again <= 100, "{again} of 20,000 had to be made again");
}

#[tokio::test]
async fn another_model_of_the_same_name_is_another_model() {
    let embedder = Counting::new(1 << 20);
    let cache = cache(&embedder, 1 << 20, None).looking_every(Duration::ZERO);
    let answers = Answers::new(1 << 20);
    one(&cache, "text").await.unwrap();
    let body = Bytes::from_static(b"{}");
    answers.put(1, &body, Bytes::from_static(b"ready"), cache.fresh(URI).unwrap());
    assert_eq!(answers.get(1, &body).as_deref(), Some(&b"ready"[..]));
    assert_eq!(answers.get(2, &body), None, "another kind of request");
    *embedder.version.lock().unwrap() = "b".into();
    // Using it asks again beside; from then on the old vector is not found.
    while answers.get(1, &body).is_some() {
        tokio::task::yield_now().await;
    }
    let made = cache.embed(URI, &["text"]).await.unwrap();
    assert_eq!((made.version.as_str(), made.vectors[0].to_vec()), ("b", vec![4.0, 2.0]));
    assert!(answers.is_empty() && answers.hits() > 0);
}

#[derive(Debug, Default)]
struct Board(Mutex<HashMap<Key, Vec<u8>>>);

impl Shelf for Board {
    fn get(&self, key: &Key) -> Option<Vec<u8>> {
        self.0.lock().unwrap().get(key).cloned()
    }

    fn put(&self, key: &Key, value: Vec<u8>) {
        self.0.lock().unwrap().insert(*key, value);
    }
}

#[tokio::test]
async fn a_shelf_is_looked_at_before_the_model_is_asked() {
    let (embedder, board) = (Counting::new(1 << 20), Arc::new(Board::default()));
    one(&cache(&embedder, 1 << 20, Some(board.clone())), "text").await.unwrap();
    let again = cache(&embedder, 1 << 20, Some(board.clone()));
    assert_eq!(again.embed(URI, &["text", "new"]).await.unwrap().vectors[0].to_vec(), [4.0, 1.0]);
    assert_eq!((again.figures().shelf_hits, embedder.texts.load(SeqCst)), (1, 2));
    one(&again, "text").await.unwrap();
    assert_eq!((again.figures().hits, again.figures().shelf_hits), (1, 1), "from memory now");
    // What cannot be a vector is none.
    for wrong in [vec![], vec![1, 2, 3], f32::NAN.to_le_bytes().to_vec()] {
        board.0.lock().unwrap().values_mut().for_each(|value| *value = wrong.clone());
        let before = embedder.calls.load(SeqCst);
        one(&cache(&embedder, 1 << 20, Some(board.clone())), "text").await.unwrap();
        assert_eq!(embedder.calls.load(SeqCst), before + 1);
    }
}
