//! LSP as editors speak it: the pump by itself under everything that goes wrong, the real program with a hand-written
//! editor, and real editors.

mod clients;
mod decisions;
pub mod editor;
mod pump;
mod runs;
mod transcript;
mod wire;
