//! Turning the configuration into what each part of the house takes.
