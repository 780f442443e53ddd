//! A model that answers in words.

use crate::Options;
use crate::http::Asked;
use crate::steady::{Again, Steady};
use async_trait::async_trait;
use stillhouse_schemas::model::{Model, ModelError, Reply, Request};

#[derive(Debug)]
pub(crate) struct Chat {
    asked: Asked,
    steady: Steady,
}

impl Chat {
    pub(crate) fn new(asked: Asked, options: &Options) -> Self {
        // A request that may have been worked on may have been paid for.
        let steady = Steady::new(&asked.target.host, Again::Undone, options);
        Self { asked, steady }
    }
}

#[async_trait]
impl Model for Chat {
    fn provider(&self) -> &str {
        self.asked.target.provider()
    }

    fn name(&self) -> &str {
        &self.asked.target.model
    }

    async fn generate(&self, request: &Request) -> Result<Reply, ModelError> {
        let (mut reply, attempts) = self.steady.run(|| self.asked.ask(request)).await?;
        reply.attempts = attempts;
        Ok(reply)
    }
}
