//! The library's service, made when the greeting is answered: a start is measured by that answer, and making the
//! service takes some of it (its table of methods, and maps that ask the system how many processors there are).
//!
//! Whoever greets gets the answer that the service would give, and the service is greeted in turn before anything else
//! reaches it, so its own order of things (nothing before `initialize`, nothing after `shutdown`) holds as ever.

use std::{
    future::{Future, ready},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use serde_json::json;
use tower::Service;

use super::{
    server::{self, Server},
    shared::Shared,
    types::{ExitedError, LspService, Request, Response},
};

type Answer = Pin<Box<dyn Future<Output = Result<Option<Response>, ExitedError>> + Send>>;

/// The service that the pump drives.
pub struct Late {
    shared: Arc<Shared>,
    greeted: bool,
    service: Option<LspService<Server>>,
    /// The service's own answer to the greeting, while it is awaited.
    greeting: Option<Answer>,
}

impl Late {
    /// Nothing is made yet.
    pub fn new(shared: Arc<Shared>) -> Late {
        Late { shared, greeted: false, service: None, greeting: None }
    }

    fn service(&mut self) -> &mut LspService<Server> {
        self.service.get_or_insert_with(|| server::service(self.shared.clone()))
    }
}

impl Service<Request> for Late {
    type Response = Option<Response>;
    type Error = ExitedError;
    type Future = Answer;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), ExitedError>> {
        if self.greeted && self.service.is_none() {
            let greeting = Request::build("initialize").params(json!({"capabilities": {}})).id(0).finish();
            self.greeting = Some(self.service().call(greeting));
        }
        if let Some(greeting) = &mut self.greeting {
            match greeting.as_mut().poll(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(answered) => {
                    self.greeting = None;
                    answered?;
                }
            }
        }
        match &mut self.service {
            Some(service) => service.poll_ready(context),
            None => Poll::Ready(Ok(())),
        }
    }

    fn call(&mut self, request: Request) -> Answer {
        match request.id() {
            Some(id) if request.method() == "initialize" && self.service.is_none() => {
                self.greeted = true;
                let answer = Response::from_ok(id.clone(), server::greeting(&self.shared));
                Box::pin(ready(Ok(Some(answer))))
            }
            // Whatever comes before a greeting is the service's to refuse.
            _ => self.service().call(request),
        }
    }
}
