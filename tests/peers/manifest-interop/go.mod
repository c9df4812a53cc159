module airlock/manifest-interop

go 1.24.0

require (
	github.com/distribution/reference v0.6.0
	github.com/opencontainers/image-spec v1.1.1
)

require github.com/opencontainers/go-digest v1.0.0 // indirect
