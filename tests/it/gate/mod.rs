//! The gate: what it says to labelled lines it was not tuned on, to lines made to fool it, and to rules that are wrong.

mod claude;
mod corpora;
mod errors;
mod fooled;
mod hook;
mod places;
mod random;
mod rules;
