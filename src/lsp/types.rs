//! Every protocol type in one place: the crate that they come from changes with the library's versions.
//!
//! What that crate lacks (LSP 3.18) and what is only passed on travels as JSON.

pub use tower_lsp::{
    ExitedError, LanguageServer, LspService,
    jsonrpc::{Error, ErrorCode, Request, Response, Result},
    ls_types::{
        CodeActionParams, CodeActionResponse, CodeLens, CodeLensParams, Diagnostic, DidChangeTextDocumentParams,
        DidCloseTextDocumentParams, DidOpenTextDocumentParams, DidSaveTextDocumentParams, ExecuteCommandParams,
        InitializeParams, InitializeResult, InitializedParams, Position, Range, TextDocumentContentChangeEvent,
    },
};
