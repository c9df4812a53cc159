//! Charts installed, upgraded, rolled back and taken away as Helm does, with records that Helm reads.
