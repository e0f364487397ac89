//! Standard input and output as a protocol: finds out which, and hands the streams over.
//!
//! One thread, one runtime. The daemon is found or started by the front end after its client was greeted, never
//! before: a model host that waits for `initialize` waits for this process alone.

mod pump;
mod sniff;

use std::io;

pub use sniff::Dialect;

use self::{
    pump::{Input, Output},
    sniff::Sniffed,
};
use crate::client::ConnectOptions;

/// How long a start may take with all that comes behind it.
const SETTLED: std::time::Duration = std::time::Duration::from_secs(2);

/// How it ended.
#[derive(Debug)]
pub enum Ending {
    /// The client left; the exit status it has by its protocol (LSP: 1 after an `exit` without `shutdown`).
    Over(u8),
    /// Nothing that is spoken here; the sentence says what to do.
    Refused(&'static str),
}

/// Serves until the client leaves. Runs go on without it.
pub fn serve(forced: Option<Dialect>, options: ConnectOptions) -> io::Result<Ending> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let served = runtime.block_on(async {
        let mut input = Input::standard();
        let dialect = match forced {
            Some(dialect) => dialect,
            None => match find(&mut input).await? {
                Ok(dialect) => dialect,
                Err(ending) => return Ok(ending),
            },
        };
        let output = Output::standard();
        tokio::task::LocalSet::new()
            .run_until(async {
                tokio::task::spawn_local(settle());
                match dialect {
                    Dialect::Lsp => crate::lsp::serve(input, output, options).await,
                    Dialect::Mcp => crate::mcp::serve(input, output, options).await,
                }
            })
            .await
            .map(Ending::Over)
    });
    // A thread may still wait for a terminal; the process ends without it.
    runtime.shutdown_background();
    served
}

/// Once, when the start is over: what only that needed is given back. Never again, so that calls stay quick and nobody is
/// woken for it.
async fn settle() {
    tokio::time::sleep(SETTLED).await;
    crate::rest::give_back();
}

/// Looks at the input until it says what it is. Blanks and a byte order mark are let go of, nothing else.
async fn find(input: &mut Input) -> io::Result<Result<Dialect, Ending>> {
    loop {
        let more = input.look().await?;
        if !more && input.ahead().trim_ascii().is_empty() {
            return Ok(Err(Ending::Over(0)));
        }
        match sniff::sniff(input.ahead(), !more) {
            Sniffed::Is(dialect, blanks) => {
                input.skip(blanks);
                return Ok(Ok(dialect));
            }
            Sniffed::Refused(sentence) => return Ok(Err(Ending::Refused(sentence))),
            Sniffed::More => {}
        }
    }
}
