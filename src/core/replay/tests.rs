//! Properties of all of it together.

mod new_pods;
