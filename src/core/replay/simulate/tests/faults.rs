//! Scenes in which the simulator found a fault of plumb, shrunk.
