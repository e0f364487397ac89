//! Asking again where the daemon died under a call: once, for every face.
//!
//! Whoever loses the connection under a call does not know whether it was done. Reads, and what is the same when it is
//! done twice, are simply asked again. What would be done twice carries a key that the daemon keeps in the journal, with
//! the answer, in the very commit that did it ([`KEYED`]): the second time it is only answered.

use std::{
    future::Future,
    io::Read,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jsonrpsee::core::{
    client::{BatchResponse, ClientT, Error, Subscription, SubscriptionClientT},
    params::BatchRequestBuilder,
    traits::ToRpcParams,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, value::RawValue};

use super::{Client, ConnectError, ConnectOptions, connect};
use crate::api::{ApiError, Welcome};

/// Calls that would be done twice, and where their key goes: below this member, or beside the others.
const KEYED: [(&str, Option<&str>); 11] = [
    ("process_request", Some("request")),
    ("submit_task", Some("task")),
    ("save_checkpoint", None),
    ("restore_checkpoint", None),
    ("apply", None),
    ("undo", None),
    ("retry", None),
    ("claim_task", None),
    ("agent_report", None),
    ("agent_notes", None),
    ("forget_rule", None),
];

/// How often a call is made again, and the pause before the second time; each further one is twice as long. Finding or
/// starting a daemon takes its own time each time.
const TIMES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(50);

/// How often one call was made again.
#[derive(Debug, Default)]
pub struct Tries(u32);

impl Tries {
    /// Whether to make the call again, now. `gone`: the connection broke under it. The first time there is no pause.
    pub async fn more(&mut self, gone: bool, error: &ApiError) -> bool {
        if self.0 == TIMES || !(gone || error.passes()) {
            return false;
        }
        if self.0 > 0 || !gone {
            tokio::time::sleep(PAUSE * (1 << self.0)).await;
        }
        self.0 += 1;
        true
    }
}

/// A key that nobody else has: random, with a word for whoever reads the journal. `None` where there is no chance to be
/// had; then a call has no key.
pub fn key(word: &str) -> Option<String> {
    let mut bytes = [0; 16];
    std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes)).ok()?;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Some(format!("{word}-{hex}"))
}

/// The parameters of a call with a key of its own, where it needs one and has none yet.
pub fn with_key(method: &str, params: impl Serialize) -> Option<Value> {
    let (_, below) = KEYED.iter().find(|(name, _)| *name == method)?;
    let mut params = serde_json::to_value(params).ok()?;
    let place: &mut Map<String, Value> = match below {
        Some(member) => params.get_mut(member)?.as_object_mut()?,
        None => params.as_object_mut()?,
    };
    if place.get("key").is_none_or(Value::is_null) {
        place.insert("key".to_owned(), key("call")?.into());
    }
    Some(params)
}

/// The command line's connection, kept up: a call under which the daemon dies is made again.
pub struct Steady {
    options: ConnectOptions,
    client: Mutex<Arc<Client>>,
}

impl std::fmt::Debug for Steady {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Steady").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Steady {
    /// Finds the daemon, starts it where needed, and greets it.
    pub async fn connect(options: &ConnectOptions) -> Result<(Steady, Welcome), ConnectError> {
        let (client, welcome) = connect(options).await?;
        Ok((Steady { options: options.clone(), client: Mutex::new(Arc::new(client)) }, welcome))
    }

    fn client(&self) -> Arc<Client> {
        self.client.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Another connection in place of one that broke.
    async fn reconnect(&self, broken: &Arc<Client>) -> Result<(), Error> {
        if !Arc::ptr_eq(broken, &self.client()) {
            return Ok(());
        }
        let (client, _) = connect(&self.options).await.map_err(|error| Error::Call(error.0.into()))?;
        *self.client.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(client);
        Ok(())
    }

    /// Does something with the connection, again and again where that breaks. Whoever wants the daemon to end has what
    /// they want when it breaks.
    async fn again<R, F: Future<Output = Result<R, Error>>>(
        &self,
        method: &str,
        call: impl Fn(Arc<Client>) -> F,
    ) -> Result<R, Error> {
        let mut tries = Tries::default();
        loop {
            let client = self.client();
            let error = match call(client.clone()).await {
                Ok(reply) => return Ok(reply),
                Err(error) if method == "stop_daemon" => return Err(error),
                Err(error) => error,
            };
            let gone = matches!(error, Error::Transport(_) | Error::RestartNeeded(_) | Error::ServiceDisconnect);
            let refusal = match &error {
                Error::Call(object) => ApiError::from(object.clone()),
                other => ApiError::new(crate::api::Code::Unavailable, other.to_string(), ""),
            };
            if !tries.more(gone, &refusal).await {
                return Err(error);
            }
            if gone || !client.is_connected() {
                self.reconnect(&client).await?;
            }
        }
    }
}

/// Parameters that are written already.
#[derive(Clone)]
struct Written(Option<Box<RawValue>>);

impl ToRpcParams for Written {
    fn to_rpc_params(self) -> Result<Option<Box<RawValue>>, serde_json::Error> {
        Ok(self.0)
    }
}

fn written(method: &str, params: impl ToRpcParams) -> Result<Written, Error> {
    let params = params.to_rpc_params()?;
    Ok(Written(match params.as_ref().and_then(|params| with_key(method, params)) {
        Some(keyed) => Some(serde_json::value::to_raw_value(&keyed)?),
        None => params,
    }))
}

impl ClientT for Steady {
    async fn notification<P: ToRpcParams + Send>(&self, method: &str, params: P) -> Result<(), Error> {
        self.client().notification(method, params).await
    }

    async fn request<R: DeserializeOwned, P: ToRpcParams + Send>(&self, method: &str, params: P) -> Result<R, Error> {
        let params = written(method, params)?;
        self.again(method, |client| {
            let params = params.clone();
            async move { client.request(method, params).await }
        })
        .await
    }

    async fn batch_request<'a, R: DeserializeOwned + std::fmt::Debug + 'a>(
        &self,
        batch: BatchRequestBuilder<'a>,
    ) -> Result<BatchResponse<'a, R>, Error> {
        self.client().batch_request(batch).await
    }
}

impl SubscriptionClientT for Steady {
    async fn subscribe<'a, N: DeserializeOwned, P: ToRpcParams + Send>(
        &self,
        subscribe: &'a str,
        params: P,
        unsubscribe: &'a str,
    ) -> Result<Subscription<N>, Error> {
        let params = written(subscribe, params)?;
        self.again(subscribe, |client| {
            let params = params.clone();
            async move { client.subscribe(subscribe, params, unsubscribe).await }
        })
        .await
    }

    async fn subscribe_to_method<N: DeserializeOwned>(&self, method: &str) -> Result<Subscription<N>, Error> {
        self.client().subscribe_to_method(method).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_would_be_done_twice_has_a_key() {
        assert_eq!(with_key("get_state", json!({})), None);
        let first = with_key("claim_task", json!({"task_id": null, "key": null})).unwrap();
        let second = with_key("claim_task", json!({"task_id": null})).unwrap();
        let key = |params: &Value| params["key"].as_str().unwrap_or_default().to_owned();
        assert!(key(&first).starts_with("call-") && key(&first).len() <= 64, "{first}");
        assert_ne!(key(&first), key(&second), "each call has its own");
        assert_eq!(with_key("undo", json!({"run": "R-1", "key": "mine"})).unwrap()["key"], "mine");
        let inside = with_key("process_request", json!({"request": {"description": "x"}})).unwrap();
        assert!(inside["request"]["key"].is_string() && inside["key"].is_null(), "{inside}");
    }

    #[tokio::test]
    async fn only_what_may_come_back_is_asked_again_and_not_for_ever() {
        let refused = ApiError::new(crate::api::Code::Invalid, "no", "");
        assert!(!Tries::default().more(false, &refused).await);
        let passes = ApiError::new(crate::api::Code::Unavailable, "closing", crate::api::error::TRY_AGAIN);
        assert!(Tries::default().more(false, &passes).await, "it comes again");
        assert!(Tries::default().more(true, &refused).await, "nobody knows what became of it");
        assert!(!Tries(TIMES).more(true, &passes).await, "it goes away again and again");
    }
}
