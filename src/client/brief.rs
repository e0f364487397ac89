//! One question to a daemon that runs already, answered within a few milliseconds or not at all. For callers whose own
//! answer must not wait: nothing is started, nobody is greeted, and silence is an answer, too.

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

/// Calls `method` of the daemon behind this socket. `None` where there is none, or it takes longer than `within` to take
/// the call or to answer it.
pub fn call<T: DeserializeOwned>(socket: &Path, method: &str, params: impl Serialize, within: Duration) -> Option<T> {
    let mut stream = UnixStream::connect(socket).ok()?;
    stream.set_write_timeout(Some(within)).ok()?;
    stream.set_read_timeout(Some(within)).ok()?;
    let mut line = serde_json::to_vec(&json!({"jsonrpc": "2.0", "id": 0, "method": method, "params": params})).ok()?;
    line.push(b'\n');
    stream.write_all(&line).ok()?;
    let mut reader = BufReader::new(stream);
    line.clear();
    // The reply is short and comes in one piece; whoever sends it in drops is as good as silent.
    reader.read_until(b'\n', &mut line).ok()?;
    let mut reply: Value = serde_json::from_slice(&line).ok()?;
    serde_json::from_value(reply.get_mut("result")?.take()).ok()
}
