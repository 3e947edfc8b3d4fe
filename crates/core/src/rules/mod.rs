//! The five rules over one meter's readings.
