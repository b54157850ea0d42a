//! Shrinking: a scene in which an invariant breaks becomes the smallest one found in which it still does.
