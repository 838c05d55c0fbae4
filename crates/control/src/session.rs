//! A channel's life, as a state machine.
