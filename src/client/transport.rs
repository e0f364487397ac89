//! JSON-RPC over a Unix socket, one message a line: the client's end, for jsonrpsee's async client.

use jsonrpsee::core::client::{ReceivedMessage, TransportReceiverT, TransportSenderT};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
};

/// Writes messages.
pub struct Sender(OwnedWriteHalf);

/// Reads messages.
pub struct Receiver(BufReader<OwnedReadHalf>);

/// Both ends of a connection.
pub fn split(stream: UnixStream) -> (Sender, Receiver) {
    let (reader, writer) = stream.into_split();
    (Sender(writer), Receiver(BufReader::new(reader)))
}

impl TransportSenderT for Sender {
    type Error = std::io::Error;

    async fn send(&mut self, message: String) -> Result<(), Self::Error> {
        // One write a message: the daemon is woken once.
        let mut line = message.into_bytes();
        line.push(b'\n');
        self.0.write_all(&line).await
    }

    async fn close(&mut self) -> Result<(), Self::Error> {
        self.0.shutdown().await
    }
}

impl TransportReceiverT for Receiver {
    type Error = std::io::Error;

    async fn receive(&mut self) -> Result<ReceivedMessage, Self::Error> {
        let mut line = Vec::new();
        match self.0.read_until(b'\n', &mut line).await? {
            0 => Err(std::io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(ReceivedMessage::Bytes(line)),
        }
    }
}
