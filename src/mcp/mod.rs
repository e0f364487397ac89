//! MCP on standard input and output: the face for model hosts.

use std::io;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::client::ConnectOptions;

/// Serves until the client leaves; returns the process's exit status.
pub async fn serve<R, W>(input: R, output: W, options: ConnectOptions) -> io::Result<u8>
where
    R: AsyncRead + Unpin + 'static,
    W: AsyncWrite + Unpin + 'static,
{
    drop((input, output, options));
    Err(io::Error::new(io::ErrorKind::Unsupported, "MCP is not served yet"))
}
