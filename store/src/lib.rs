//! Content-addressed blobs, repositories, tags and referrers on disk, crash safe.
