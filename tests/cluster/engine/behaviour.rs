//! What the engine does where Helm leaves it open, or where something goes wrong.
