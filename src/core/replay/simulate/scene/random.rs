//! Scenes from seeds.
