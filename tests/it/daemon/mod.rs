//! The whole program as a real process, with everything that can go wrong around it.
//!
//! Every test has a [`Sandbox`]: folders of its own for state, socket, configuration and home. At its end no process
//! of the sandbox may be left, and no test ever looks at a process of another one.

mod answers;
mod bring;
mod changes;
mod clock;
mod commands;
mod journal;
mod kill;
mod life;
mod limits;
mod places;
mod plans;
mod power;
mod ready;
mod roles;
pub mod sandbox;
mod surroundings;
mod terminal;
mod wire;
