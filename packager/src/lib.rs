//! Both ends of the gap: mirror, pack, verify, import, and the on-media format.
