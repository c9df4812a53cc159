//! Keys, signatures and trust: bytes and a trust file in, Verified<T> out.
