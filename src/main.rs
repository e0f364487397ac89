//! The ways to run. Everything is in the library; `cli` tells them apart.

use std::process::ExitCode;

fn main() -> ExitCode {
    orchestrator::cli::main()
}
